using System.Runtime.InteropServices;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Ports;
using Archipelago.Xseg.Recovery;
using Archipelago.Xseg.Tables;
using Archipelago.Xseg.Tests.Ports;
using Xunit;

namespace Archipelago.Xseg.Tests.Crash;

/// <summary>
/// A client and a cache in processes of their own, one object "t" of 48 pages, and what was written to it. Each of the two may be
/// killed and taken over by its successor.
/// </summary>
internal sealed unsafe class World : IDisposable
{
    internal const int ClientShare = 80, CacheShare = 64;

    private readonly TestSegment _segment = new(ports: 6, slots: 16, pages: 256);
    private readonly Dictionary<ushort, ulong> _acknowledged = [];
    private readonly Dictionary<ushort, HashSet<ulong>> _possible = [];

    internal World()
    {
        Flow = FlowTable.FindOrAdd(_segment.First, "volume"u8);
        var entry = _segment.First.ObjectAt(MiniCache.Object);
        var hash = Hash128.Of("t"u8);
        (entry->HashLow, entry->HashHigh, entry->Flow, entry->NameLength) = (hash.Low, hash.High, Flow, 1);
        entry->Name[0] = (byte)'t';
        entry->Word = 2;
        (ClientSide, CacheSide) = (_segment.Join(), _segment.Join());
        Client = BindClient();
        Cache = new MiniCache(BindCache());
        entry->Word = 2 | (ulong)Cache.Port.Number << 8;
    }

    internal uint Flow { get; }

    internal Segment Observer => _segment.First;

    internal Segment ClientSide { get; private set; }

    internal Segment CacheSide { get; private set; }

    internal Port Client { get; private set; }

    internal MiniCache Cache { get; private set; }

    internal Segment Join() => _segment.Join();

    internal Port BindClient() => TestSegment.Bind(ClientSide, "client", ClientShare);

    internal Port BindCache() => TestSegment.Bind(CacheSide, "cache", CacheShare, keeps: true);

    /// <summary>Kill -9: locks go, memory stays as it is.</summary>
    internal void KillClient()
    {
        ClientSide.Dispose();
        ClientSide = _segment.Join();
    }

    internal void KillCache()
    {
        CacheSide.Dispose();
        CacheSide = _segment.Join();
    }

    internal void RecoverClient()
    {
        Client = BindClient();
        Client.Connect(Cache.Port.Number);
    }

    internal void RecoverCache() => Cache = new MiniCache(BindCache());

    /// <summary>Claims, fills and submits a write of whole pages that all hold <paramref name="stamp"/>.</summary>
    internal Request Write(ushort bucket, int count, ulong stamp, int server = -1)
    {
        for (int i = 0; i < count; i++) Possible((ushort)(bucket + i)).Add(stamp);
        var request = Client.New(XsegOp.Write, (ulong)bucket << 12, (ulong)count << 12, Flow);
        Assert.True(Client.TryAttachPages(request, payload: true));
        Assert.True(request.TryData(out var data));
        for (int i = 0; i < count; i++) Fill(Client.Segment, data.Get(i).Page, stamp);
        Assert.True(Client.TrySubmit(request, server < 0 ? Cache.Port.Number : server));
        Client.Kick();
        return request;
    }

    internal Request Read(ushort bucket, int count)
    {
        var request = Client.New(XsegOp.Read, (ulong)bucket << 12, (ulong)count << 12, Flow);
        Assert.True(Client.TryAttachPages(request, payload: false));
        Assert.True(Client.TrySubmit(request, Cache.Port.Number));
        Client.Kick();
        return request;
    }

    internal Request Receive()
    {
        Assert.True(Client.TryReceive(Cache.Port.Number, out var request), "no answer came");
        Client.EndReceive(Cache.Port.Number);
        return request;
    }

    internal void Acknowledge(ushort bucket, int count, ulong stamp)
    {
        for (int i = 0; i < count; i++) _acknowledged[(ushort)(bucket + i)] = stamp;
    }

    /// <summary>A write from end to end.</summary>
    internal void WriteThrough(ushort bucket, int count, ulong stamp)
    {
        Write(bucket, count, stamp);
        Cache.Serve();
        var request = Receive();
        Assert.Equal(0, request.Status);
        Client.Free(request);
        Acknowledge(bucket, count, stamp);
    }

    internal static void Fill(Segment segment, uint page, ulong stamp) => new Span<ulong>(segment.PageBytes(page), 512).Fill(stamp);

    /// <summary>The stamp of a page that a request may read; fails if it may not, or if the page is torn.</summary>
    internal static ulong StampOf(in RequestData data, int i)
    {
        byte* bytes = data.Readable(i);
        Assert.True(bytes != null, $"extent {i} ({data.Get(i)}) cannot be read");
        var words = new ReadOnlySpan<ulong>(bytes, 512);
        Assert.False(words.ContainsAnyExcept(words[0]), "a torn page");
        return words[0];
    }

    /// <summary>
    /// After recovery: every write and read gets its answer, all content is whole and what was acknowledged is there, all slots
    /// are free again, every page is where it belongs, and nothing is lost.
    /// </summary>
    internal void AssertSound()
    {
        Cache.Serve();
        while (Client.TryReceive(Cache.Port.Number, out var late))
        {
            Assert.Equal(0, late.Status);
            Client.Free(late);
        }

        // New requests pass, more than a ring holds.
        for (int i = 0; i < 40; i++) WriteThrough((ushort)(i % 4 + 44), 1, 1_000_000 + (ulong)i);
        foreach (var (bucket, possible) in _possible)
        {
            Read(bucket, 1);
            Cache.Serve();
            var request = Receive();
            Assert.True(request.TryData(out var data));
            ulong stamp = StampOf(data, 0);
            if (_acknowledged.TryGetValue(bucket, out ulong acknowledged)) Assert.Equal(acknowledged, stamp);
            else if (stamp != 0) Assert.Contains(stamp, possible);
            Client.Free(request);
        }

        Cache.Port.Limbo.DrainPastSlowReaders();
        var report = Fsck.Check(Observer);
        Assert.Empty(report.Findings.Where(finding => finding.Kind != FsckKind.Counters).Select(finding => finding.Text));
        Assert.Equal(0, report.SlotsInUse);
        Assert.Equal(CacheShare, report.Pages.HeldBy(Cache.Port.Number));
        Assert.Equal(ClientShare, report.Pages.HeldBy(Client.Number));
        Assert.Equal(ClientShare, Client.Pages.Count);
        Assert.Equal(Observer.PageCount - 1 - CacheShare - ClientShare, report.Pages[PageState.Common]);
        Assert.Equal(0, report.Pages[PageState.Limbo] + report.Pages[PageState.Lent] + report.Pages[PageState.Slot]);
    }

    /// <summary>A write whose answer nobody saw may be there or not, whatever was acknowledged before.</summary>
    internal void Doubt(ushort bucket, int count)
    {
        for (int i = 0; i < count; i++) _acknowledged.Remove((ushort)(bucket + i));
    }

    private HashSet<ulong> Possible(ushort bucket) => CollectionsMarshal.GetValueRefOrAddDefault(_possible, bucket, out _) ??= [];

    public void Dispose() => _segment.Dispose();
}
