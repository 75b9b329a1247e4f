using System.Net;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Control;

namespace Archipelago.Nbd;

/// <summary>What an <see cref="NbdPeer"/> serves, where, and within which bounds.</summary>
public sealed record NbdOptions
{
    /// <summary>Path of the Unix socket (up to 107 bytes), made with mode 0600; null for none.</summary>
    public string? SocketPath { get; init; }
    /// <summary>Address of the TCP listener; null for none. NBD has no authentication: use a loopback address. Port 0 picks one.</summary>
    public IPEndPoint? TcpAddress { get; init; }
    /// <summary>Route that serves volumes.</summary>
    public string Route { get; init; } = "volumes";
    /// <summary>Volumes that are exported read-only, by name.</summary>
    public IReadOnlyCollection<string> ReadOnlyExports { get; init; } = [];
    /// <summary>Volume that a client gets who asks for the empty name; empty for none.</summary>
    public string DefaultExport { get; init; } = "";
    /// <summary>Connections at once, 1 to 65,536; further ones are closed at accept.</summary>
    public int MaxConnections { get; init; } = 2048;
    /// <summary>Requests of one connection that are read and whose reply is not yet sent, 1 to 1,024. With so many the connection is not read.</summary>
    public int MaxInFlight { get; init; } = 128;
    /// <summary>
    /// After this long a request is answered EIO although its outcome is not known; its slot and pages stay held until it is.
    /// Zero: never, a client waits as long as the storage takes.
    /// </summary>
    public TimeSpan RequestDeadline { get; init; }
    /// <summary>What a client may take from accept to the end of the handshake, the time that the volume takes to open apart.</summary>
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary>
    /// While others wait for slots or pages, a connection that holds some and neither sends its payload nor takes its replies
    /// for this long is cut.
    /// </summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromSeconds(30);
    /// <summary>Pages for payload under way: what to give <c>PeerPlan.Pages</c>. At least <see cref="MinimumPages"/>.</summary>
    public int Pages { get; init; } = 8192;

    /// <summary>The smallest share with which the largest piece (1 MiB) still fits: 257 pages and one for their list.</summary>
    public const int MinimumPages = 258;

    /// <summary>See <see cref="SocketPath"/>.</summary>
    public static readonly OptionSpec<string> SocketOption = Option.Path(
        "socket", "", "Path of the Unix socket, made with mode 0600. Default: \"nbd.sock\" in the state directory.", ControlOptions.MaxSocketPathBytes);
    /// <summary>See <see cref="TcpAddress"/>.</summary>
    public static readonly OptionSpec<HostPort?> TcpOption = Option.HostPort(
        "tcp", "", "Address and port on which NBD is also served over TCP. NBD has no authentication: other addresses than loopback give everybody who "
            + "reaches them every volume.", defaultPort: 10809, allowPortZero: true);
    /// <summary>See <see cref="Route"/>.</summary>
    public static readonly OptionSpec<string> VolumesOption = Option.Text("volumes", "volumes", "Route to the peer that serves volumes.", 1, 32);
    /// <summary>See <see cref="ReadOnlyExports"/>.</summary>
    public static readonly OptionSpec<IReadOnlyList<string>> ReadOnlyOption = Option.List("read-only", "", "Volumes that are exported for reading only.");
    /// <summary>See <see cref="DefaultExport"/>.</summary>
    public static readonly OptionSpec<string> DefaultOption = Option.Text("default-export", "", "Volume that a client gets who names none; empty for none.", 0, 89);
    /// <summary>See <see cref="MaxConnections"/>.</summary>
    public static readonly OptionSpec<long> MaxConnectionsOption = Option.Integer("max-connections", "2048", 1, 65536, "Connections at once; further ones are closed.");
    /// <summary>See <see cref="MaxInFlight"/>.</summary>
    public static readonly OptionSpec<long> MaxInFlightOption = Option.Integer(
        "max-in-flight", "128", 1, 1024, "Requests of one connection that are under way; with so many it is not read.");
    /// <summary>See <see cref="RequestDeadline"/>.</summary>
    public static readonly OptionSpec<TimeSpan> DeadlineOption = Option.Duration(
        "deadline", "0s", TimeSpan.Zero, TimeSpan.FromDays(1),
        "After this time a request is answered EIO although its outcome is not known; what overlaps a change waits until it is. 0: never; a client waits as long as the storage takes.");
    /// <summary>See <see cref="HandshakeTimeout"/>.</summary>
    public static readonly OptionSpec<TimeSpan> HandshakeOption = Option.Duration(
        "handshake-timeout", "10s", TimeSpan.FromMilliseconds(100), TimeSpan.FromHours(1), "What a client may take for its handshake.");
    /// <summary>See <see cref="StallTimeout"/>.</summary>
    public static readonly OptionSpec<TimeSpan> StallOption = Option.Duration(
        "stall-timeout", "30s", TimeSpan.FromMilliseconds(100), TimeSpan.FromHours(1),
        "While others wait for memory: a connection that holds some, and neither sends its payload nor takes its replies for so long, is cut.");
    /// <summary>See <see cref="Pages"/>.</summary>
    public static readonly OptionSpec<long> PagesOption = Option.Integer("pages", "8192", MinimumPages, 1 << 24, "Pages of 4 KiB for payload under way.");

    /// <summary>The rows for the peer's section of a configuration file.</summary>
    public static OptionSpec[] All { get; } =
    [
        SocketOption, TcpOption, VolumesOption, ReadOnlyOption, DefaultOption, MaxConnectionsOption, MaxInFlightOption, DeadlineOption,
        HandshakeOption, StallOption, PagesOption,
    ];

    /// <summary>From a section of a configuration file whose table holds <see cref="All"/>.</summary>
    /// <exception cref="ConfigException">The address is a name.</exception>
    public static NbdOptions From(ConfigSection section)
    {
        IPEndPoint? tcp = null;
        if (section.Get(TcpOption) is { } given)
        {
            string host = given.Host == "localhost" ? "127.0.0.1" : given.Host;
            tcp = IPAddress.TryParse(host, out var address) ? new IPEndPoint(address, given.Port)
                : throw section.Refuse(TcpOption, "an IP address (or localhost) and a port");
        }

        return new NbdOptions
        {
            SocketPath = section.Get(SocketOption) is { Length: > 0 } path ? path : null,
            TcpAddress = tcp,
            Route = section.Get(VolumesOption),
            ReadOnlyExports = section.Get(ReadOnlyOption),
            DefaultExport = section.Get(DefaultOption),
            MaxConnections = (int)section.Get(MaxConnectionsOption),
            MaxInFlight = (int)section.Get(MaxInFlightOption),
            RequestDeadline = section.Get(DeadlineOption),
            HandshakeTimeout = section.Get(HandshakeOption),
            StallTimeout = section.Get(StallOption),
            Pages = (int)section.Get(PagesOption),
        };
    }
}
