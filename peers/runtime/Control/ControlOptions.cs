using System.Net;
using Archipelago.Runtime.Configuration;

namespace Archipelago.Runtime.Control;

/// <summary>Where the control plane listens; the values of the section <c>[control]</c>.</summary>
public sealed record ControlOptions
{
    /// <summary>What fits into a Unix socket's address, in bytes.</summary>
    public const int MaxSocketPathBytes = 107;

    /// <summary>The option <c>socket</c>.</summary>
    public static readonly OptionSpec<string> SocketOption = Option.Path(
        "socket", "/run/archipelago/control.sock",
        "Path of the Unix socket on which this process answers the archipelago command (REST and JSON over HTTP). It is made with "
        + "mode 0600: who may open it may do everything. A socket that a dead process left behind is replaced; one that answers is not.",
        MaxSocketPathBytes);

    /// <summary>The option <c>tcp</c>.</summary>
    public static readonly OptionSpec<HostPort?> TcpOption = Option.HostPort(
        "tcp", "",
        "A loopback address and port on which the same is answered over TCP. Off by default: TCP has no file mode, so that every user "
        + "of this host may do everything. Addresses other than loopback are refused; put a proxy that authenticates in front.",
        allowPortZero: true);

    /// <summary>The table of <c>[control]</c>.</summary>
    public static readonly SectionSpec Section = SectionSpec.Single(
        "control", "The control plane: how the archipelago command and monitoring reach this process.", [SocketOption, TcpOption]);

    /// <summary>Absolute path of the socket.</summary>
    public required string SocketPath { get; init; }

    /// <summary>A loopback endpoint, or null for none.</summary>
    public IPEndPoint? Tcp { get; init; }

    /// <summary>The options of a configuration.</summary>
    /// <exception cref="ConfigException">EINVAL: the TCP address is not a loopback one.</exception>
    public static ControlOptions From(Config config)
    {
        ConfigSection section = config[Section];
        IPEndPoint? tcp = null;
        if (section.Get(TcpOption) is { } address)
        {
            string host = address.Host == "localhost" ? "127.0.0.1" : address.Host;
            tcp = IPAddress.TryParse(host, out IPAddress? ip) && IPAddress.IsLoopback(ip)
                ? new IPEndPoint(ip, address.Port)
                : throw section.Refuse(TcpOption, "a loopback address (127.0.0.1, [::1] or localhost) and a port");
        }

        return new ControlOptions { SocketPath = section.Get(SocketOption), Tcp = tcp };
    }
}
