using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Archipelago.Runtime.Hosting;

/// <summary>
/// Tells the service manager how this process is doing (sd_notify(3)): datagrams to <c>$NOTIFY_SOCKET</c>, a path or, with a leading
/// <c>@</c>, an abstract name. Without that variable everything is a no-op. Nothing here throws: a service manager that does not
/// listen must not stop a daemon; each call says whether the datagram was sent. Safe for use by any thread.
/// </summary>
public sealed class SdNotify
{
    // A service manager that does not read (stopped, overloaded) must not hold a shutdown for long.
    private static readonly TimeSpan SendLimit = TimeSpan.FromSeconds(5);

    private readonly UnixDomainSocketEndPoint? _manager;

    /// <summary>
    /// A notifier for the socket (null or empty: none), and the watchdog's interval if the manager asked for one. An address that is
    /// neither absolute nor abstract, or too long, counts as none.
    /// </summary>
    public SdNotify(string? notifySocket, TimeSpan? watchdogInterval = null)
    {
        WatchdogInterval = watchdogInterval;
        _manager = Address(notifySocket);
    }

    /// <summary>Whether a service manager listens, as far as the environment says.</summary>
    public bool Enabled => _manager is not null;

    /// <summary>How often at least <see cref="Watchdog"/> must be called (call twice as often), or null if no watchdog is on.</summary>
    public TimeSpan? WatchdogInterval { get; }

    /// <summary>
    /// The notifier of this process's environment: <c>NOTIFY_SOCKET</c>, <c>WATCHDOG_USEC</c>, and <c>WATCHDOG_PID</c>, which, if set,
    /// must be this process for the watchdog to count.
    /// </summary>
    public static SdNotify FromEnvironment() => new(
        Environment.GetEnvironmentVariable("NOTIFY_SOCKET"),
        WatchdogFrom(
            Environment.GetEnvironmentVariable("WATCHDOG_USEC"),
            Environment.GetEnvironmentVariable("WATCHDOG_PID"),
            Environment.ProcessId));

    /// <summary>Start-up is over: requests are served.</summary>
    public bool Ready() => Send("READY=1");

    /// <summary>Shutdown began; destaging may take long, so report with <see cref="Status"/> and <see cref="ExtendTimeout"/>.</summary>
    public bool Stopping() => Send("STOPPING=1");

    /// <summary>One line for a person, shown by <c>systemctl status</c>. Line breaks become spaces.</summary>
    public bool Status(string text) => Send("STATUS=" + text.ReplaceLineEndings(" ").Replace('\0', ' '));

    /// <summary>A sign of life for the watchdog.</summary>
    public bool Watchdog() => Send("WATCHDOG=1");

    /// <summary>Asks the manager for so much more time for the start or stop under way.</summary>
    public bool ExtendTimeout(TimeSpan by) =>
        Send(string.Create(CultureInfo.InvariantCulture, $"EXTEND_TIMEOUT_USEC={(long)by.TotalMicroseconds}"));

    internal static TimeSpan? WatchdogFrom(string? microseconds, string? pid, int self)
    {
        if (!long.TryParse(microseconds, NumberStyles.None, CultureInfo.InvariantCulture, out long interval) || interval <= 0)
        {
            return null;
        }

        bool otherProcess = !string.IsNullOrEmpty(pid) && pid != self.ToString(CultureInfo.InvariantCulture);
        return otherProcess ? null : TimeSpan.FromMicroseconds(interval);
    }

    private static UnixDomainSocketEndPoint? Address(string? socket)
    {
        if (string.IsNullOrEmpty(socket) || socket.Length < 2 || (socket[0] != '/' && socket[0] != '@'))
        {
            return null;
        }

        try
        {
            return new UnixDomainSocketEndPoint(socket[0] == '@' ? "\0" + socket[1..] : socket);
        }
        catch (ArgumentException)
        {
            return null;
        }
    }

    private bool Send(string message)
    {
        if (_manager is null)
        {
            return false;
        }

        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
            socket.SendTimeout = (int)SendLimit.TotalMilliseconds;
            byte[] payload = Encoding.UTF8.GetBytes(message);
            return socket.SendTo(payload, _manager) == payload.Length;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
