using System.Buffers.Binary;
using System.Text;
using Archipelago.Runtime;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;

namespace Archipelago.Nbd.Core;

/// <summary>What came of an attempt to use a volume: an errno, or its size in bytes as of now.</summary>
internal readonly record struct ExportAnswer(int Status, Export? Export, ulong Size);

/// <summary>The volumes as exports: opened, closed, asked for their size, listed. A control path: it may allocate. One reactor.</summary>
internal sealed class ExportTable(PeerContext context, Route route, NbdOptions options)
{
    /// <summary>Longest name of a volume in bytes.</summary>
    internal const int MaxName = 89;
    private const int CatalogueChunk = 64 << 10, MaxCatalogue = 4 << 20;

    private readonly Dictionary<string, Export> _exports = new(StringComparer.Ordinal);
    private readonly HashSet<string> _readOnly = new(options.ReadOnlyExports, StringComparer.Ordinal);

    /// <summary>Exports with clients, or that are being closed.</summary>
    internal int Count => _exports.Count;

    /// <summary>True if a volume may have this name: no other is even asked for.</summary>
    internal static bool IsName(ReadOnlySpan<byte> name)
    {
        if (name.Length is 0 or > MaxName || name[0] == '.') return false;
        foreach (byte c in name)
            if (!char.IsAsciiLetterOrDigit((char)c) && c is not ((byte)'.' or (byte)'_' or (byte)'-')) return false;
        return true;
    }

    internal bool IsReadOnly(string name) => _readOnly.Contains(name);

    /// <summary>Size of a volume without opening it.</summary>
    internal async Task<ExportAnswer> AskAsync(byte[] name)
    {
        if (!IsName(name)) return new ExportAnswer(Errno.ENOENT, null, 0);
        var (status, size) = await CallAsync(XsegOp.Info, name);
        return new ExportAnswer(status, null, size);
    }

    /// <summary>Opens a volume, or joins those who have it open. Each success is due one <see cref="Release"/>.</summary>
    internal async Task<ExportAnswer> AcquireAsync(byte[] name)
    {
        if (!IsName(name)) return new ExportAnswer(Errno.ENOENT, null, 0);
        string key = Encoding.ASCII.GetString(name);
        if (!_exports.TryGetValue(key, out var export)) _exports.Add(key, export = new Export(name, IsReadOnly(key)));
        export.Users++;
        ulong size = 0;
        int status = 0;
        while (!export.Last.IsCompleted) await export.Last;
        if (!export.IsOpen)
        {
            var opening = GuardAsync(XsegOp.Open, name, () => OpenAsync(export));
            export.Last = opening;
            (status, size) = await opening;
        }
        else
        {
            (status, size) = await CallAsync(XsegOp.Info, name);
        }

        if (status == 0) return new ExportAnswer(0, export, size);
        Release(export);
        return new ExportAnswer(status, null, 0);
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
            status = await ReadCatalogueAsync(bytes.AsMemory(at, Math.Min(CatalogueChunk, bytes.Length - at)), (ulong)at);
        if (status != 0) return (status, names);
        foreach (var range in bytes.AsSpan().Split((byte)'\n'))
            if (IsName(bytes.AsSpan()[range])) names.Add(bytes.AsSpan()[range].ToArray());
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

    private async Task<(int Status, ulong Size)> OpenAsync(Export export)
    {
        var request = await context.AllocateAsync();
        context.Port.Prepare(request, XsegOp.Open, 0, export.Target, export.Hash, 0, 0, export.IsReadOnly ? RequestFlags.ReadOnly : RequestFlags.None);
        int status = await route.SubmitAsync(request);
        ulong size = request.Serviced;
        uint flow = BinaryPrimitives.ReadUInt32LittleEndian(request.Result[8..]);
        context.Free(request);
        if (status == 0 && flow >= (uint)context.Segment.FlowCount)
        {
            context.Log.LogError("volume {Volume}: OPEN answered with flow {Flow}, the segment has {Flows}", export.Name, flow, context.Segment.FlowCount);
            status = Errno.EBADMSG;
        }

        if (status != 0)
        {
            context.Log.LogWarning("volume {Volume} cannot be opened: {Errno}", export.Name, Errno.Name(status));
            return (status, 0);
        }

        (export.Flow, export.IsOpen) = (flow, true);
        return (0, size);
    }

    private async Task CloseAsync(Export export)
    {
        export.IsOpen = false;
        var (status, _) = await CallAsync(XsegOp.Close, export.Key, export.Flow);
        if (status != 0) context.Log.LogError("volume {Volume} cannot be closed: {Errno}; what its clients have flushed is safe", export.Name, Errno.Name(status));
        if (export.Users == 0) _exports.Remove(export.Name);
    }

    private Task<(int Status, ulong Serviced)> CallAsync(XsegOp op, byte[] target, uint flow = 0) => GuardAsync(op, target, () => AskOnceAsync(op, target, flow));

    private async Task<(int Status, ulong Serviced)> AskOnceAsync(XsegOp op, byte[] target, uint flow)
    {
        var request = await context.AllocateAsync();
        context.Port.Prepare(request, op, flow, target, Hash128.Of(target), 0, 0);
        int status = await route.SubmitAsync(request);
        ulong serviced = request.Serviced;
        context.Free(request);
        return (status, serviced);
    }

    private async Task<int> ReadCatalogueAsync(Memory<byte> into, ulong offset)
    {
        var request = await context.AllocateAsync();
        // Up to 64 KiB at a multiple of it: the extents fit into the slot.
        context.Port.Prepare(request, XsegOp.Read, 0, [], Hash128.Of([]), offset, (ulong)into.Length);
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
