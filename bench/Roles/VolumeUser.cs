using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Experiments.Roles;

/// <summary>A client within the serving process that makes, changes and uses volumes, one request at a time. What it times is nanoseconds.</summary>
internal sealed class VolumeUser : Peer
{
    /// <summary>Pages for its requests.</summary>
    internal const int Pages = 1024;
    private const int Piece = 1 << 20;

    private readonly Dictionary<string, ObjectIo> _open = new(StringComparer.Ordinal);
    private readonly byte[] _piece = new byte[Piece];

    /// <summary>The plan to host it by: several processes of a segment may have one.</summary>
    internal PeerPlan Plan => new() { Name = $"user.{Environment.ProcessId}", Peer = this, Pages = Pages, Transient = true };

    public override ValueTask<int> HandleAsync(Request request) => new(XsegErrno.ENOTSUP);

    /// <summary>Runs an op that changes volumes.</summary>
    /// <exception cref="ErrnoException">Refused.</exception>
    internal async Task<long> CallAsync(XsegOp op, string target, string source = "", ulong length = 0)
    {
        var io = Io(0);
        long start = Stopwatch.GetTimestamp();
        var (status, _) = await io.RunAsync(op, 0, Bytes(target), 0, length, source: Bytes(source));
        return Took(start, status, $"{op} {target} {source}");
    }

    /// <summary>Opens a volume for writing, or a snapshot.</summary>
    internal async Task<long> OpenAsync(string name)
    {
        var result = new byte[64];
        long start = Stopwatch.GetTimestamp();
        var (status, _) = await Io(0).RunAsync(XsegOp.Open, 0, Bytes(name), result: result);
        long took = Took(start, status, $"open {name}");
        _open[name] = Io(BinaryPrimitives.ReadUInt32LittleEndian(result.AsSpan(8)));
        return took;
    }

    /// <summary>Closes what was opened.</summary>
    internal async Task<long> CloseAsync(string name)
    {
        long start = Stopwatch.GetTimestamp();
        var (status, _) = await _open[name].RunAsync(XsegOp.Close, _open[name].Flow, Bytes(name));
        _open.Remove(name);
        return Took(start, status, $"close {name}");
    }

    /// <summary>Writes 4 KiB at <paramref name="offset"/> and <paramref name="count"/> − 1 times <paramref name="step"/> bytes further on.</summary>
    internal async Task<long[]> TouchAsync(string name, ulong offset, ulong step, int count)
    {
        var took = new long[count];
        Random.Shared.NextBytes(_piece);
        for (int i = 0; i < count; i++, offset += step)
        {
            long start = Stopwatch.GetTimestamp();
            int status = await _open[name].WriteAsync(Bytes(name), offset, _piece.AsMemory(0, 4096), _open[name].Flow, RequestFlags.None);
            took[i] = Took(start, status, $"write {name}");
        }

        return took;
    }

    /// <summary>Writes the first bytes of a volume, none of them zeros only, and flushes.</summary>
    internal async Task<long> FillAsync(string name, ulong bytes)
    {
        long start = Stopwatch.GetTimestamp();
        for (ulong at = 0; at < bytes; at += Piece)
        {
            Random.Shared.NextBytes(_piece);
            Took(start, await _open[name].WriteAsync(Bytes(name), at, _piece, _open[name].Flow, RequestFlags.None), $"write {name}");
        }

        var (status, _) = await _open[name].RunAsync(XsegOp.Flush, _open[name].Flow, Bytes(name));
        return Took(start, status, $"flush {name}");
    }

    /// <summary>Reads the first bytes of a volume, and looks at them.</summary>
    internal async Task<long> ReadAsync(string name, ulong bytes)
    {
        long start = Stopwatch.GetTimestamp();
        for (ulong at = 0; at < bytes; at += Piece)
        {
            var (status, _) = await _open[name].ReadAsync(Bytes(name), at, _piece);
            Took(start, status, $"read {name}");
            // What was filled is random: a volume that lost it would be read in no time.
            if (!_piece.AsSpan(0, 4096).ContainsAnyExcept((byte)0)) throw new ErrnoException(Errno.EIO, $"read {name}: zeros at {at}");
        }

        return Took(start, 0, name);
    }

    private ObjectIo Io(uint flow) => new(Context, Context.OpenRoute("volumes"), flow);

    private static byte[] Bytes(string name) => Encoding.UTF8.GetBytes(name);

    // A tick is a nanosecond on Linux.
    private static long Took(long start, int status, string what) =>
        status == 0 ? Stopwatch.GetTimestamp() - start : throw new ErrnoException(status, $"{what}: {Errno.Name(status)}, {Errno.Describe(status)}");
}
