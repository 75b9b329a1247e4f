namespace Archipelago.Runtime.Routing;

/// <summary>The peers that run on one reactor, by port: a hop to one of them is a method call.</summary>
internal sealed class LocalPeers
{
    private readonly Peer?[] _peers = new Peer?[64];

    internal Peer? this[int port]
    {
        get => _peers[port];
        set => _peers[port] = value;
    }
}
