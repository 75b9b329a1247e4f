using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Xseg.Tests.Fuzz;

/// <summary>Writes garbage over the slots of one port and over the rings of its links: plain random, or values that mean something.</summary>
internal sealed unsafe class Vandal(Segment segment, int victim, int server, uint foreignFlow, int seed)
{
    private readonly Random _random = new(seed);

    internal void Strike()
    {
        if (_random.Next(3) == 0) StrikeRing();
        else StrikeSlot();
    }

    private void StrikeSlot()
    {
        uint number = ((uint)victim << segment.SlotShift) + (uint)_random.Next(segment.SlotsPerPort);
        // Mostly slots in use: the others will be filled anew.
        for (int i = 0; i < 20 && (SlotState)(byte)segment.SlotAt(number)->Word == SlotState.Free; i++) number = ((uint)victim << segment.SlotShift) + (uint)_random.Next(segment.SlotsPerPort);
        byte* slot = (byte*)segment.SlotAt(number);
        // Mostly the fields that decide something; names and results seldom.
        int at = _random.Next(4) == 0 ? _random.Next(RequestSlot.Size / 8) * 8 : _random.Next(400 / 8) * 8;
        Write(slot + at);
        // A slot of another flow would be that flow's: peers of a segment trust each other so far.
        if (((RequestSlot*)slot)->Flow == foreignFlow) ((RequestSlot*)slot)->Flow = 0;
    }

    private void StrikeRing()
    {
        byte* ring = segment.RingAt(victim, server, _random.Next(2));
        Write(ring + (_random.Next(3) switch
        {
            0 => LinkLayout.HeadOffset,
            1 => LinkLayout.TailOffset,
            _ => LinkLayout.EntriesOffset + _random.Next(segment.RingCapacity) * 8,
        }));
    }

    private void Write(byte* at)
    {
        switch (_random.Next(5))
        {
            case 0:
                *(at + _random.Next(8)) = (byte)_random.Next(256);
                break;
            case 1:
                *(ushort*)(at + _random.Next(4) * 2) = (ushort)_random.Next(65536);
                break;
            case 2:
                *(uint*)(at + _random.Next(2) * 4) = Meaning();
                break;
            case 3:
                *(ulong*)at = Meaning() | (ulong)Meaning() << 32;
                break;
            default:
                *(ulong*)at = (ulong)_random.NextInt64(long.MinValue, long.MaxValue);
                break;
        }
    }

    private uint Meaning() => _random.Next(8) switch
    {
        0 => 0,
        1 => uint.MaxValue,
        2 => (uint)_random.Next(8),
        3 => (uint)_random.Next((int)segment.PageCount + 2),
        4 => (uint)_random.Next((int)segment.SlotCount + 2),
        5 => (uint)_random.Next(6) | (uint)_random.Next(8) << 8,
        6 => (uint)_random.Next((int)segment.PageCount) | Extent.SpentBit,
        _ => 1u << _random.Next(32),
    };
}
