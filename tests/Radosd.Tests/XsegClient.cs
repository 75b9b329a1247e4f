using System.Diagnostics;
using System.Text;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Tables;
using Xunit;

namespace Archipelago.Radosd.Tests;

/// <summary>A client of the segment whose reactor is the test's thread: the raw port, requests in flight, their answers.</summary>
public sealed unsafe class XsegClient : IDisposable
{
    /// <summary>Far beyond anything healthy: reaching it is a failure, never a result.</summary>
    private static readonly TimeSpan Forever = TimeSpan.FromSeconds(60);

    private readonly Segment _segment;
    private readonly Port _port;
    private readonly Dictionary<uint, Request> _answered = [];
    private int _server = -1;

    public XsegClient(string segment, int pages = 4096)
    {
        _segment = Segment.Join(segment);
        _port = Port.Bind(_segment, new PortOptions { Name = "client.0", Pages = pages, Transient = true });
    }

    public Segment Segment => _segment;

    public Port Port => _port;

    public static byte[] Name(string name) => Encoding.UTF8.GetBytes(name);

    /// <summary>Sends a request without waiting; pages are filled with <paramref name="data"/> (WRITE) or left to the holder.</summary>
    public Request Send(
        XsegOp op, byte[] name, ulong offset = 0, ulong length = 0, byte[]? data = null, bool ownPages = false, uint flow = 1,
        RequestFlags flags = RequestFlags.None, byte[]? source = null, byte[]? cookie = null, bool scatter = false)
    {
        Assert.True(_port.TryAllocate(out var request), "no slot");
        _port.Prepare(request, op, flow, name, Hash128.Of(name), offset, data == null ? length : (ulong)data.Length, flags);
        request.Result.Clear();
        cookie?.CopyTo(request.Result);
        if (source != null) _port.SetSource(request, source);
        if (op is XsegOp.Read or XsegOp.Write && request.Length <= RequestSlot.MaxData)
        {
            // One taken in between and given back later makes the pages of requests non-adjacent.
            Extent hole = default;
            if (scatter) Assert.True(_port.Pages.TryTake(request.Slot, out hole));
            Assert.True(_port.TryAttachPages(request, payload: ownPages || data != null), "no pages");
            if (scatter)
            {
                Swap(request);
                _port.Pages.Give(hole.Page);
            }

            if (data != null) Fill(request, data);
        }

        Submit(request);
        return request;
    }

    /// <summary>Hands over a request that was prepared by hand.</summary>
    public void Submit(in Request request)
    {
        if (_server < 0) Assert.True(RouteTable.TryFind(_segment, "blocks"u8, out _server, out int _), "nobody serves the route");
        Assert.True(_port.TrySubmit(request, _server));
        _port.Kick();
    }

    /// <summary>Waits for the answer: the status. The request is still to be freed.</summary>
    public int Wait(in Request request)
    {
        long start = Stopwatch.GetTimestamp();
        while (!_answered.Remove(request.Slot))
        {
            if (Poll() > 0) continue;
            Assert.True(Stopwatch.GetElapsedTime(start) < Forever, $"no answer within 60 s: {request}");
            Thread.Sleep(0);
        }

        return request.Status;
    }

    /// <summary>Takes what has been answered; returns how many.</summary>
    public int Poll()
    {
        int taken = 0;
        while (_port.TryReceive(_server, out var request))
        {
            _answered.Add(request.Slot, request);
            taken++;
        }

        if (taken > 0) _port.EndReceive(_server);
        return taken;
    }

    public bool IsAnswered(in Request request)
    {
        Poll();
        return _answered.ContainsKey(request.Slot);
    }

    public void Free(in Request request) => _port.Free(request);

    /// <summary>The bytes of an answered READ.</summary>
    public static byte[] Data(in Request request)
    {
        Assert.True(request.TryData(out var data));
        var bytes = new byte[request.Length];
        int at = 0;
        for (int i = 0; i < data.Count; i++)
        {
            byte* page = data.Readable(i);
            Assert.True(page != null, $"page {i} of {request} cannot be read");
            int start = i == 0 ? (int)(request.Offset & 4095) : 0;
            int count = Math.Min(4096 - start, bytes.Length - at);
            new ReadOnlySpan<byte>(page + start, count).CopyTo(bytes.AsSpan(at));
            at += count;
        }

        return bytes;
    }

    /// <summary>Sends, waits, frees; status, serviced and reply flags.</summary>
    public (int Status, ulong Serviced, ReplyFlags Reply) Do(
        XsegOp op, string name, ulong offset = 0, ulong length = 0, byte[]? data = null, RequestFlags flags = RequestFlags.None,
        string? source = null, byte[]? cookie = null, uint flow = 1, bool scatter = false)
    {
        var request = Send(op, Name(name), offset, length, data, flow: flow, flags: flags, source: source == null ? null : Name(source), cookie: cookie, scatter: scatter);
        var outcome = (Wait(request), request.Serviced, request.Reply);
        Free(request);
        return outcome;
    }

    public void Write(string name, byte[] data, ulong offset = 0) =>
        Assert.Equal((0, (ulong)data.Length, ReplyFlags.Stable), Do(XsegOp.Write, name, offset, data: data));

    public byte[] Read(string name, int length, ulong offset = 0, bool ownPages = false)
    {
        var request = Send(XsegOp.Read, Name(name), offset, (ulong)length, ownPages: ownPages);
        Assert.Equal(0, Wait(request));
        Assert.Equal((ulong)length, request.Serviced);
        byte[] data = Data(request);
        Free(request);
        return data;
    }

    public void Dispose()
    {
        _port.Dispose();
        _segment.Dispose();
    }

    private static void Swap(in Request request)
    {
        request.TryData(out var data);
        for (int i = 0; i + 1 < data.Count; i += 2)
        {
            var extent = data.Get(i);
            data.Set(i, data.Get(i + 1));
            data.Set(i + 1, extent);
        }
    }

    public static void Fill(in Request request, byte[] bytes)
    {
        request.TryData(out var data);
        int at = 0;
        for (int i = 0; i < data.Count; i++)
        {
            int start = i == 0 ? (int)(request.Offset & 4095) : 0;
            int count = Math.Min(4096 - start, bytes.Length - at);
            Assert.True(data.Owned(i, out var extent) != null);
            bytes.AsSpan(at, count).CopyTo(new Span<byte>(request.Segment.PageBytes(extent.Page) + start, count));
            at += count;
        }
    }
}
