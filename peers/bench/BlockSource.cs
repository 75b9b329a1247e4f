using System.Runtime.CompilerServices;

namespace Archipelago.Bench;

/// <summary>One request to be made.</summary>
internal struct BlockOp
{
    internal long Block;
    internal bool IsWrite;
    internal uint Generation;
}

/// <summary>
/// Decides which block comes next, and keeps what each holds. With verification no two requests are under way for one block
/// of which one writes: which of them was first is nobody's business. One thread.
/// </summary>
internal sealed class BlockSource
{
    private readonly BenchOptions _options;
    private readonly long _blocks;
    private readonly uint[]? _generations;
    private readonly short[]? _busy;
    private readonly ZipfRanks _zipf;
    private readonly ulong _readThreshold;
    private Permutation _order;
    private ulong _random;
    private long _index;
    private BlockOp _held;
    private bool _holds;

    internal BlockSource(BenchOptions options, long blocks)
    {
        (_options, _blocks) = (options, blocks);
        _random = Mixing.Mix((ulong)options.Seed + 0x5851_F42D_4C95_7F2D) | 1;
        _order = new Permutation(blocks, (ulong)options.Seed);
        _readThreshold = options.Op switch
        {
            BenchOp.Write => 0,
            BenchOp.Mixed => (ulong)(options.ReadShare * (1ul << 53)),
            _ => 1ul << 53,
        };
        if (options.Pattern == BenchPattern.Zipf) _zipf = new ZipfRanks(blocks, options.Theta);
        if (options.Verify == BenchVerify.None) return;
        _generations = new uint[blocks];
        _busy = new short[blocks];
        Array.Fill(_generations, options.Op == BenchOp.Write ? (uint)options.Generation - 1 : (uint)options.Generation);
    }

    /// <summary>Passes over all blocks that have been begun.</summary>
    internal long Passes { get; private set; } = 1;

    /// <summary>Takes the next block; false if it must wait for one that is under way.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool TryNext(out BlockOp op)
    {
        if (_holds) op = _held;
        else Pick(out op);
        return _busy == null || TryOccupy(ref op);
    }

    /// <summary>Puts back what could not be sent.</summary>
    internal void PutBack(in BlockOp op)
    {
        Finish(op);
        if (op.IsWrite && _generations != null) _generations[op.Block]--;
        (_held, _holds) = (op, true);
    }

    /// <summary>The request is answered.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Finish(in BlockOp op)
    {
        if (_busy == null) return;
        if (op.IsWrite) _busy[op.Block] = 0;
        else _busy[op.Block]--;
    }

    private bool TryOccupy(ref BlockOp op)
    {
        short busy = _busy![op.Block];
        if (busy < 0 || (op.IsWrite && busy != 0))
        {
            (_held, _holds) = (op, true);
            return false;
        }

        _holds = false;
        if (op.IsWrite) _generations![op.Block]++;
        _busy[op.Block] = op.IsWrite ? (short)-1 : (short)(busy + 1);
        op.Generation = _generations![op.Block];
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Pick(out BlockOp op)
    {
        op = default;
        if (_index == _blocks) NextPass();
        op.Block = _options.Pattern switch
        {
            BenchPattern.Sequential => _index,
            BenchPattern.Random => _order.At(_index),
            _ => _order.At(_zipf.At(NextDouble())),
        };
        _index++;
        op.IsWrite = _readThreshold == 0 || (_readThreshold != 1ul << 53 && Next() >> 11 >= _readThreshold);
    }

    private void NextPass()
    {
        _index = 0;
        Passes++;
        if (_options.Pattern == BenchPattern.Random) _order = new Permutation(_blocks, (ulong)_options.Seed + ((ulong)Passes << 32));
    }

    private double NextDouble() => (Next() >> 11) * (1.0 / (1ul << 53));

    /// <summary>xorshift64*: enough to spread draws.</summary>
    private ulong Next()
    {
        _random ^= _random >> 12;
        _random ^= _random << 25;
        _random ^= _random >> 27;
        return _random * 0x2545_F491_4F6C_DD1D;
    }
}
