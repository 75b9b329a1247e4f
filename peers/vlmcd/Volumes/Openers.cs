using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>
/// Who has a volume open: OPENs minus CLOSEs by the port that issued them. What a gateway had open when it died does not count, so
/// that its kill -9 does not keep a volume busy for ever.
/// </summary>
internal sealed unsafe class Openers(Segment segment)
{
    private readonly int[] _count = new int[segment.PortCount];
    private readonly uint[] _life = new uint[segment.PortCount];

    /// <summary>Opens by gateways that live. A control-path matter: asks the kernel.</summary>
    internal int Total
    {
        get
        {
            int total = 0;
            for (int port = 0; port < _count.Length; port++)
            {
                if (_count[port] == 0) continue;
                if (_life[port] == Life(port) && PortTable.IsAlive(segment, port)) total += _count[port];
                else _count[port] = 0;
            }

            return total;
        }
    }

    /// <summary>Opens by one port.</summary>
    internal int Of(int port) => _life[port] == Life(port) ? _count[port] : 0;

    internal void Add(int port)
    {
        Touch(port, 0);
        _count[port]++;
    }

    /// <summary>A port that does I/O has opened the volume, be it at a vlmcd that has died since.</summary>
    internal void Seen(int port) => Touch(port, 1);

    internal void Remove(int port)
    {
        Touch(port, 0);
        if (_count[port] > 0) _count[port]--;
    }

    private void Touch(int port, int atLeast)
    {
        uint life = Life(port);
        if (_life[port] != life) (_life[port], _count[port]) = (life, 0);
        _count[port] = Math.Max(_count[port], atLeast);
    }

    private uint Life(int port) => Volatile.Read(ref segment.PortAt(port)->Generation);
}
