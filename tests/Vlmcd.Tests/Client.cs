using System.Buffers.Binary;
using System.Text;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Vlmcd.Tests;

internal sealed record Answer(int Status, ulong Serviced, byte[] Data, byte[] Result, ReplyFlags Reply)
{
    internal ulong ObjectSize => BinaryPrimitives.ReadUInt64LittleEndian(Result);
    internal uint Flow => BinaryPrimitives.ReadUInt32LittleEndian(Result.AsSpan(8));
}

/// <summary>A gateway without a network: issues requests to a route and looks at the answers.</summary>
internal sealed class Client : Peer
{
    public override ValueTask<int> HandleAsync(Request request) => new(Runtime.Errno.ENOTSUP);

    internal Task<Answer> Do(
        string route, XsegOp op, string name, uint flow = 0, ulong offset = 0, ulong length = 0, RequestFlags flags = RequestFlags.None, string? source = null, UInt128 identity = default,
        byte[]? data = null) =>
        RunAsync(route, op, name, flow, offset, length, flags, data, ownPages: data != null, source, identity);

    internal Task<Answer> Write(string route, string name, uint flow, ulong offset, byte[] data, RequestFlags flags = RequestFlags.None) =>
        RunAsync(route, XsegOp.Write, name, flow, offset, (ulong)data.Length, flags, data, ownPages: true);

    internal Task<Answer> Read(string route, string name, uint flow, ulong offset, ulong length, bool ownPages = false) =>
        RunAsync(route, XsegOp.Read, name, flow, offset, length, RequestFlags.None, null, ownPages);

    private async Task<Answer> RunAsync(
        string route, XsegOp op, string name, uint flow, ulong offset, ulong length, RequestFlags flags, byte[]? data, bool ownPages, string? source = null, UInt128 identity = default)
    {
        var target = Encoding.UTF8.GetBytes(name);
        var request = await Context.AllocateAsync();
        Context.Port.Prepare(request, op, flow, target, Hash128.Of(target), offset, length, flags);
        if (identity != 0) Context.Port.SetIdentity(request, identity);
        if (source != null) Context.Port.SetSource(request, Encoding.UTF8.GetBytes(source));
        request.Result.Clear();
        bool hasData = data != null || op is XsegOp.Read or XsegOp.Write or XsegOp.MapRead;
        if (hasData)
            while (!Context.Port.TryAttachPages(request, ownPages)) await Context.Reactor.Delay(TimeSpan.FromMilliseconds(1));
        if (data != null) Copy(request, data, write: true);
        int status = await Context.OpenRoute(route).SubmitAsync(request);
        byte[] read = [];
        if (status == 0 && op is XsegOp.Read or XsegOp.MapRead)
        {
            read = new byte[op == XsegOp.Read ? length : request.Serviced];
            Copy(request, read, write: false);
        }

        var answer = new Answer(status, request.Serviced, read, request.Result.ToArray(), request.Reply);
        Context.Free(request);
        return answer;
    }

    private unsafe void Copy(Request request, Span<byte> bytes, bool write)
    {
        Assert.True(request.TryData(out var data));
        int at = request.Op == XsegOp.MapRead ? 0 : (int)(request.Offset & 4095);
        for (int i = 0; bytes.Length > 0; i++, at = 0)
        {
            byte* page = data.Readable(i);
            Assert.True(page != null, $"extent {i} of {request} cannot be read");
            int count = Math.Min(4096 - at, bytes.Length);
            var span = new Span<byte>(page + at, count);
            if (write) bytes[..count].CopyTo(span);
            else span.CopyTo(bytes);
            bytes = bytes[count..];
        }
    }
}
