using System.Globalization;

namespace Archipelago.Runtime.Configuration;

/// <summary>A host name or address, and a TCP port. An IPv6 address is held without its brackets.</summary>
public readonly record struct HostPort(string Host, int Port)
{
    /// <summary><c>host:port</c>, with brackets around an IPv6 address.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{(Host.Contains(':') ? $"[{Host}]" : Host)}:{Port}");
}

/// <summary>
/// <c>host:port</c>, <c>127.0.0.1:10809</c>, <c>[::1]:10809</c>; port 0, where allowed, lets the kernel choose. The port may be left
/// out if there is a default one. Empty, where that is allowed, is null and stands for "none".
/// </summary>
public sealed class HostPortType(bool allowEmpty, int? defaultPort, bool allowPortZero) : OptionType<HostPort?>
{
    /// <inheritdoc/>
    public override string Placeholder => "HOST:PORT";

    /// <inheritdoc/>
    public override string Expected =>
        (defaultPort is null ? "host:port" : "host or host:port") + " such as 127.0.0.1:10809 or [::1]:10809" + (allowEmpty ? ", or nothing" : "");

    /// <inheritdoc/>
    public override bool TryParse(string text, string baseDirectory, out HostPort? value, out string? why)
    {
        why = null;
        value = null;
        string trimmed = text.Trim();
        if (trimmed.Length == 0)
        {
            return allowEmpty;
        }

        string host = trimmed;
        string? port = null;
        int close = trimmed.LastIndexOf(']');
        int colon = trimmed.LastIndexOf(':');
        if (colon > close)
        {
            host = trimmed[..colon];
            port = trimmed[(colon + 1)..];
        }

        if (!TryHost(host, out string name) || !TryPort(port, out int number))
        {
            return false;
        }

        value = new HostPort(name, number);
        return true;
    }

    /// <inheritdoc/>
    public override string Format(HostPort? value) => value?.ToString() ?? "";

    private static bool TryHost(string host, out string name)
    {
        bool bracketed = host.Length > 2 && host[0] == '[' && host[^1] == ']';
        name = bracketed ? host[1..^1] : host;
        return Uri.CheckHostName(name) switch
        {
            UriHostNameType.IPv6 => bracketed,
            UriHostNameType.IPv4 or UriHostNameType.Dns => !bracketed,
            _ => false,
        };
    }

    private bool TryPort(string? text, out int port)
    {
        port = defaultPort ?? -1;
        if (text is not null && !int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out port))
        {
            return false;
        }

        return port is > 0 and <= 65535 || (port == 0 && allowPortZero);
    }
}
