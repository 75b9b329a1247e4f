using System.Net;

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
}
