using System.Buffers.Binary;
using System.Text;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Nbd.Core;

/// <summary>What came of an attempt to use a volume.</summary>
/// <param name="Status">0 or an errno.</param>
/// <param name="Export">The volume, if it was opened.</param>
/// <param name="Size">Its bytes as of now.</param>
/// <param name="IsReadOnly">It can only be read.</param>
/// <param name="Why">What there is to say of a failure, or null.</param>
internal readonly record struct ExportAnswer(int Status, Export? Export = null, ulong Size = 0, bool IsReadOnly = false, string? Why = null);

/// <summary>The volumes as exports: opened, closed, asked for their size, listed. A control path: it may allocate. One reactor.</summary>
internal sealed class ExportTable(PeerContext context, Route route, NbdOptions options)
{
    private const int CatalogueChunk = 64 << 10, MaxCatalogue = 4 << 20, MaxWhy = 1000;

    private readonly Dictionary<string, Export> _exports = new(StringComparer.Ordinal);
    private readonly HashSet<string> _readOnly = new(options.ReadOnlyExports, StringComparer.Ordinal);

    /// <summary>Exports with clients, or that are being closed.</summary>
    internal int Count => _exports.Count;

    /// <summary>Size of a volume without opening it.</summary>
    internal async Task<ExportAnswer> AskAsync(byte[] text)
    {
        if (!ExportName.TryParse(text, out var name)) return new ExportAnswer(Errno.ENOENT);
        var (status, size) = await CallAsync(XsegOp.Info, name.Target);
        return new ExportAnswer(status, null, size, IsReadOnly(name));
    }

    /// <summary>Asks for the size of a volume that is in use. Never throws; a failure leaves what is known.</summary>
    internal async Task RefreshAsync(Export export)
    {
        // Until it is answered the volume stays open.
        export.Users++;
        var (status, size) = await CallAsync(XsegOp.Info, export.Key);
        if (status == 0) export.Size = size;
        Release(export);
    }

    /// <summary>The volume has refused what seemed possible: it may be smaller than believed. Many of its kind ask once.</summary>
    internal async void RefreshLater(Export export)
    {
        if (export.IsAsked) return;
        export.IsAsked = true;
        await RefreshAsync(export);
        export.IsAsked = false;
    }

    private bool IsReadOnly(in ExportName name) => name.IsReadOnly || _readOnly.Contains(name.Text);

    /// <summary>Opens a volume, or joins those who have it open. Each success is due one <see cref="Release"/>.</summary>
    internal async Task<ExportAnswer> AcquireAsync(byte[] text)
    {
        if (!ExportName.TryParse(text, out var name)) return new ExportAnswer(Errno.ENOENT);
        if (!_exports.TryGetValue(name.Text, out var export)) _exports.Add(name.Text, export = new Export(name, IsReadOnly(name)));
        export.Users++;
        ulong size = 0;
        int status = 0;
        string? why = null;
        while (!export.Last.IsCompleted) await export.Last;
        if (!export.IsOpen)
        {
            var opening = GuardAsync(XsegOp.Open, name.Target, () => OpenAsync(export, told => why = told));
            export.Last = opening;
            (status, size) = await opening;
        }
        else
        {
            (status, size) = await CallAsync(XsegOp.Info, name.Target);
        }

        if (status == 0)
        {
            export.Size = size;
            return new ExportAnswer(0, export, size, export.IsReadOnly);
        }

        Release(export);
        return new ExportAnswer(status, Why: why);
    }

    /// <summary>One client less; after the last the volume is closed.</summary>
    internal void Release(Export export)
    {
        if (--export.Users > 0) return;
        if (export.IsOpen) export.Last = CloseAsync(export);
        else if (export.Last.IsCompleted) _exports.Remove(export.Name);
    }

    /// <summary>Completes when no export is left.</summary>
    internal async Task SettleAsync()
    {
        while (_exports.Values.FirstOrDefault() is { } export)
        {
            if (export.Last.IsCompleted) await context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
            else await export.Last;
        }
    }

    /// <summary>Names of all volumes.</summary>
    internal async Task<(int Status, List<byte[]> Names)> ListAsync()
    {
        var names = new List<byte[]>();
        var (status, size) = await CallAsync(XsegOp.Info, []);
        var bytes = new byte[Math.Min(size, MaxCatalogue)];
        for (int at = 0; status == 0 && at < bytes.Length; at += CatalogueChunk)
            status = await ReadAsync([], bytes.AsMemory(at, Math.Min(CatalogueChunk, bytes.Length - at)), (ulong)at);
        if (status != 0) return (status, names);
        foreach (var range in bytes.AsSpan().Split((byte)'\n'))
            if (VolumeName.IsValid(bytes.AsSpan()[range])) names.Add(bytes.AsSpan()[range].ToArray());
        return (0, names);
    }

    /// <summary>Never throws: others wait for it, and nobody for a CLOSE. A fault of a peer of this process is EIO.</summary>
    private async Task<(int Status, ulong Size)> GuardAsync(XsegOp op, byte[] target, Func<Task<(int, ulong)>> call)
    {
        try
        {
            return await call();
        }
        catch (Exception fault)
        {
            context.Log.LogError(fault, "volume {Volume}: {Op} ended in an error of our own: {Error}", Encoding.ASCII.GetString(target), op, fault.Message);
            return (Errno.EIO, 0);
        }
    }

    private async Task<(int Status, ulong Size)> OpenAsync(Export export, Action<string> tell)
    {
        var request = await context.AllocateAsync();
        var identity = new UInt128(context.Reactor.Random.NextUInt64() | 1, context.Reactor.Random.NextUInt64());
        context.Port.Prepare(request, XsegOp.Open, 0, export.Target, export.Hash, 0, 0, export.OpenFlags);
        context.Port.SetIdentity(request, identity);
        int status = await route.SubmitAsync(request);
        ulong size = request.Serviced;
        uint flow = BinaryPrimitives.ReadUInt32LittleEndian(request.Result[8..]);
        bool onlyReading = BinaryPrimitives.ReadUInt32LittleEndian(request.Result[12..]) != 0;
        context.Free(request);
        if (status == 0 && flow >= (uint)context.Segment.FlowCount)
        {
            context.Log.LogError("volume {Volume}: OPEN answered with flow {Flow}, the segment has {Flows}", export.Name, flow, context.Segment.FlowCount);
            status = Errno.EBADMSG;
        }

        if (status != 0)
        {
            string why = await WhyAsync(identity);
            if (why.Length > 0) tell(why);
            context.Log.LogWarning("volume {Volume} cannot be opened: {Errno}{Why}", export.Name, Errno.Name(status), why.Length > 0 ? $": {why}" : "");
            return (status, 0);
        }

        (export.Flow, export.IsOpen) = (flow, true);
        export.IsReadOnly |= onlyReading;
        return (0, size);
    }

    private async Task CloseAsync(Export export)
    {
        export.IsOpen = false;
        var (status, _) = await CallAsync(XsegOp.Close, export.Key, export.Flow, export.OpenFlags);
        if (status != 0) context.Log.LogError("volume {Volume} cannot be closed: {Errno}; what its clients have flushed is safe", export.Name, Errno.Name(status));
        if (export.Users == 0) _exports.Remove(export.Name);
    }

    private Task<(int Status, ulong Serviced)> CallAsync(XsegOp op, byte[] target, uint flow = 0, RequestFlags flags = RequestFlags.None) =>
        GuardAsync(op, target, () => AskOnceAsync(op, target, flow, flags));

    private async Task<(int Status, ulong Serviced)> AskOnceAsync(XsegOp op, byte[] target, uint flow, RequestFlags flags)
    {
        var request = await context.AllocateAsync();
        context.Port.Prepare(request, op, flow, target, Hash128.Of(target), 0, 0, flags);
        int status = await route.SubmitAsync(request);
        ulong serviced = request.Serviced;
        context.Free(request);
        return (status, serviced);
    }

    /// <summary>The server's own words for a refusal, as far as the protocol has room for them; empty if it has none.</summary>
    private async Task<string> WhyAsync(UInt128 identity)
    {
        var text = new byte[MaxWhy];
        if (await ReadAsync(Refusals.TargetOf(identity), text, 0) != 0) return "";
        int end = Array.IndexOf(text, (byte)0);
        return Encoding.ASCII.GetString(text, 0, end < 0 ? text.Length : end);
    }

    private async Task<int> ReadAsync(byte[] target, Memory<byte> into, ulong offset)
    {
        var request = await context.AllocateAsync();
        // Up to 64 KiB at a multiple of it: the extents fit into the slot.
        context.Port.Prepare(request, XsegOp.Read, 0, target, Hash128.Of(target), offset, (ulong)into.Length);
        int status = await route.SubmitAsync(request);
        if (status == 0 && !TryCopy(request, into.Span)) status = Errno.EBADMSG;
        context.Free(request);
        return status;
    }

    private static unsafe bool TryCopy(Request request, Span<byte> into)
    {
        if (!request.TryData(out var data)) return false;
        for (int at = 0; at < into.Length; at += 4096)
        {
            byte* page = data.Readable(at >> 12);
            if (page == null) return false;
            var part = into.Slice(at, Math.Min(4096, into.Length - at));
            new ReadOnlySpan<byte>(page, part.Length).CopyTo(part);
        }

        return true;
    }
}
