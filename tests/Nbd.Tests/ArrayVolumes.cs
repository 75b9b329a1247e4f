using System.Buffers.Binary;
using System.Text;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;

namespace Archipelago.Nbd.Tests;

/// <summary>
/// A server of route "volumes" over arrays, which lends what it reads as a cache does: so that the protocol tests see exactly what
/// the gateway asks for, and can answer it as they like.
/// </summary>
internal sealed class ArrayVolumes : Peer
{
    private const int LowOnPages = 8000;
    private readonly Extent[] _lent = new Extent[RequestSlot.MaxExtents];
    private readonly Dictionary<string, Volume> _volumes = [];
    private readonly List<Completion<bool>> _held = [];
    private Lender _lender = null!;

    internal sealed class Volume
    {
        internal byte[] Bytes = [];
        internal uint Flow;
        internal int Opens, Closes;
        internal bool ReadOnly;
        /// <summary>Size told, if other than the array's.</summary>
        internal ulong? Size;
        /// <summary>OPEN says that it can only be read.</summary>
        internal bool OnlyReading;
    }

    internal readonly record struct Seen(XsegOp Op, string Target, ulong Offset, ulong Length, RequestFlags Flags, uint Flow);

    /// <summary>What came, if <see cref="Recording"/>.</summary>
    internal List<Seen> Log { get; } = [];
    internal bool Recording { get; set; } = true;
    /// <summary>Errno to answer a request with instead of serving it; 0 serves it.</summary>
    internal Func<Seen, int>? Fault { get; set; }
    /// <summary>Requests that wait for <see cref="LetGo"/>.</summary>
    internal Func<Seen, bool>? Hold { get; set; }
    internal int Held => _held.Count;
    /// <summary>What there is to say of refusals.</summary>
    internal string? Why { get; set; }
    /// <summary>Entries that MAPR answers with; null for ENOTSUP.</summary>
    internal (ulong Length, uint Flags)[]? Map { get; set; }

    internal Volume Add(string name, int size)
    {
        var volume = new Volume { Bytes = GC.AllocateArray<byte>(size, pinned: true) };
        _volumes.Add(name, volume);
        return volume;
    }

    internal Volume this[string name] => _volumes[name];

    internal void LetGo()
    {
        Hold = null;
        foreach (var held in _held.ToArray()) held.Set(true);
        _held.Clear();
    }

    public override ValueTask StartAsync()
    {
        _lender = new Lender(Context);
        return ValueTask.CompletedTask;
    }

    public override ValueTask<int> HandleAsync(Request request)
    {
        if (Recording || Fault != null || Hold != null)
        {
            var seen = new Seen(request.Op, Encoding.ASCII.GetString(request.Target), request.Offset, request.Length, request.Flags, request.Flow);
            if (Recording) Log.Add(seen);
            if (Hold?.Invoke(seen) == true) return HoldAsync(request, seen);
            int fault = Fault?.Invoke(seen) ?? 0;
            if (fault != 0) return new ValueTask<int>(fault);
        }

        return request.Op == XsegOp.Read && _lender.Available < LowOnPages ? WaitForPagesAsync(request) : new ValueTask<int>(Serve(request));
    }

    /// <summary>As a blocker does: a reader waits for pages, it does not fail.</summary>
    private async ValueTask<int> WaitForPagesAsync(Request request)
    {
        int status;
        while ((status = Serve(request)) == Errno.ENOMEM) await Context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
        return status;
    }

    private async ValueTask<int> HoldAsync(Request request, Seen seen)
    {
        var turn = new Completion<bool>();
        _held.Add(turn);
        await turn.Task;
        int fault = Fault?.Invoke(seen) ?? 0;
        return fault != 0 ? fault : Serve(request);
    }

    private int Serve(Request request)
    {
        if (request.Target.IsEmpty) return Catalogue(request);
        if (request.Target[0] == '?' && Why != null) return Read(request, [.. Encoding.ASCII.GetBytes(Why), .. new byte[request.Length - (ulong)Why.Length]]);
        if (!_volumes.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(Name(request, stackalloc char[256]), out var volume)) return Errno.ENOENT;
        switch (request.Op)
        {
            case XsegOp.Open:
                volume.Opens++;
                volume.ReadOnly = (request.Flags & RequestFlags.ReadOnly) != 0;
                volume.Flow = FlowTable.FindOrAdd(Context.Segment, request.Target);
                BinaryPrimitives.WriteUInt64LittleEndian(request.Result, 4 << 20);
                BinaryPrimitives.WriteUInt32LittleEndian(request.Result[8..], volume.Flow);
                BinaryPrimitives.WriteUInt32LittleEndian(request.Result[12..], volume.OnlyReading ? 1u : 0);
                request.Serviced = volume.Size ?? (ulong)volume.Bytes.Length;
                return 0;
            case XsegOp.Close:
                volume.Closes++;
                return 0;
            case XsegOp.Info:
                request.Serviced = volume.Size ?? (ulong)volume.Bytes.Length;
                return 0;
            case XsegOp.Read:
                return request.Flow == volume.Flow ? Read(request, volume.Bytes) : Errno.EBADMSG;
            case XsegOp.Write:
                return request.Flow == volume.Flow ? Write(request, volume.Bytes) : Errno.EBADMSG;
            case XsegOp.Flush:
                return 0;
            case XsegOp.Discard or XsegOp.WriteZeroes:
                if (volume.Size == null) volume.Bytes.AsSpan((int)request.Offset, (int)request.Length).Clear();
                return 0;
            case XsegOp.MapRead:
                return MapRead(request);
            default:
                return Errno.ENOTSUP;
        }
    }

    private static ReadOnlySpan<char> Name(in Request request, Span<char> into) => into[..Encoding.ASCII.GetChars(request.Target, into)];

    private int Catalogue(Request request)
    {
        byte[] bytes = Encoding.ASCII.GetBytes(string.Concat(_volumes.Keys.Select(name => name + "\n")));
        if (request.Op != XsegOp.Info) return request.Op == XsegOp.Read ? Read(request, bytes) : Errno.ENOTSUP;
        request.Serviced = (ulong)bytes.Length;
        return 0;
    }

    private unsafe int Read(in Request request, byte[] bytes)
    {
        int length = (int)request.Length;
        if (!request.TryData(out var data)) return Errno.EBADMSG;
        var lent = _lent.AsSpan(0, data.Count);
        if (!_lender.TryTake(request.Flow, lent)) return Errno.ENOMEM;
        int at = (int)request.Offset, end = at + length;
        for (int i = 0; i < lent.Length; i++)
        {
            int skip = i == 0 ? (int)(request.Offset & 4095) : 0;
            int part = Math.Min(4096 - skip, end - at);
            bytes.AsSpan(at, part).CopyTo(new Span<byte>(Context.Segment.PageBytes(lent[i].Page) + skip, part));
            bool zero = !bytes.AsSpan(at, part).ContainsAnyExcept((byte)0);
            data.Set(i, zero ? Extent.Zero : lent[i]);
            at += part;
        }

        request.Pointer->Serviced = (ulong)length;
        return 0;
    }

    private static unsafe int Write(in Request request, byte[] bytes)
    {
        if (!request.TryData(out var data)) return Errno.EBADMSG;
        int at = (int)request.Offset, end = at + (int)request.Length;
        for (int i = 0; i < data.Count; i++)
        {
            int skip = i == 0 ? (int)(request.Offset & 4095) : 0;
            int part = Math.Min(4096 - skip, end - at);
            byte* page = data.Readable(i);
            if (page == null) return Errno.EBADMSG;
            new ReadOnlySpan<byte>(page + skip, part).CopyTo(bytes.AsSpan(at, part));
            at += part;
        }

        request.Pointer->Serviced = request.Length;
        return 0;
    }

    private unsafe int MapRead(Request request)
    {
        if (Map == null) return Errno.ENOTSUP;
        if (!request.TryData(out var data)) return Errno.EBADMSG;
        var lent = _lent.AsSpan(0, 1);
        if (!_lender.TryTake(request.Flow, lent)) return Errno.ENOMEM;
        var page = new Span<byte>(Context.Segment.PageBytes(lent[0].Page), 4096);
        page.Clear();
        for (int i = 0; i < Map.Length; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(page[(i * 16)..], Map[i].Length);
            BinaryPrimitives.WriteUInt32LittleEndian(page[(i * 16 + 8)..], Map[i].Flags);
        }

        data.Set(0, lent[0]);
        request.Serviced = (ulong)Map.Length * 16;
        return 0;
    }
}
