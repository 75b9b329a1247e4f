using System.Text;
using Archipelago.Cached;
using Archipelago.Mapperd;
using Archipelago.Memd;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;

namespace Archipelago.Vlmcd.Tests;

/// <summary>memd behind a <see cref="CutPeer"/>, perhaps a cache before it, mapperd, vlmcd, and a client: each on a reactor of its own, or all on one.</summary>
internal sealed partial class Rig : IDisposable
{
    internal const int ObjectSize = 16 << 10;
    private readonly string _directory = Path.Combine("/dev/shm", "vlmcd-test-" + Guid.NewGuid().ToString("N"));
    private readonly Segment _segment;
    private readonly List<Node> _nodes = [];
    private readonly Func<VlmcdPeer> _make;
    private readonly MapperdOptions _mapperd;
    private readonly CachedOptions? _cached;

    internal Rig(bool oneReactor = false, bool isVolatile = false, int fanOut = 16, Func<VlmcdPeer>? make = null, int slots = 256, MapperdOptions? mapperd = null,
        CachedOptions? cached = null, int flows = 256)
    {
        _make = make ?? (() => new VlmcdPeer(new VlmcdOptions { FanOut = fanOut }));
        _cached = cached == null ? null : cached with { Blocks = "below" };
        string blocks = cached == null ? "cache" : "below";
        _mapperd = (mapperd ?? new MapperdOptions()) with { Blocks = blocks, Objects = "cache", ObjectSize = ObjectSize };
        _segment = Segment.Create(_directory, new SegmentOptions { Ports = 8, SlotsPerPort = slots, Pages = 6000 + (cached?.Pages ?? 0), Flows = flows, Prefault = false });
        Store = NewNode();
        Memd = new MemdPeer(new MemdOptions { Volatile = isVolatile });
        Store.Start(Memd, "memd", "blocks", 1800);
        Cut = Store.Start(new CutPeer(Memd), "cut", blocks, 16);
        if (cached != null) StartCached();
        MapperdNode = oneReactor ? Store : NewNode();
        Mapperd = MapperdNode.Start(new MapperdPeer(_mapperd), "mapperd", "maps", 128);
        VlmcdNode = oneReactor ? Store : NewNode();
        Vlmcd = VlmcdNode.Start(_make(), "vlmcd", "volumes", 64);
        ClientNode = oneReactor ? Store : NewNode();
        Client = ClientNode.Start(new Client(), "client", null, 2000);
    }

    internal Node Store { get; }
    internal MemdPeer Memd { get; }
    internal CutPeer Cut { get; }
    internal Node? CachedNode { get; private set; }
    internal CachedPeer? Cached { get; private set; }
    internal Node MapperdNode { get; private set; }
    internal MapperdPeer Mapperd { get; private set; }
    internal Node VlmcdNode { get; private set; }
    internal VlmcdPeer Vlmcd { get; private set; }
    internal Node ClientNode { get; }
    internal Client Client { get; }

    internal Segment Segment => _segment;

    internal Node NewNode()
    {
        var node = new Node(_directory);
        _nodes.Add(node);
        return node;
    }

    internal Answer Do(XsegOp op, string name, uint flow = 0, ulong offset = 0, ulong length = 0, RequestFlags flags = RequestFlags.None, string? source = null) =>
        ClientNode.Run(() => Client.Do("volumes", op, name, flow, offset, length, flags, source));

    internal Answer Write(string name, uint flow, ulong offset, byte[] data, RequestFlags flags = RequestFlags.None) =>
        ClientNode.Run(() => Client.Write("volumes", name, flow, offset, data, flags));

    internal Answer Read(string name, uint flow, ulong offset, ulong length, bool ownPages = false) =>
        ClientNode.Run(() => Client.Read("volumes", name, flow, offset, length, ownPages));

    internal uint Open(string name, RequestFlags flags = RequestFlags.None)
    {
        var answer = Do(XsegOp.Open, name, flags: flags);
        Assert.Equal(0, answer.Status);
        return answer.Flow;
    }

    internal uint CreateAndOpen(string name, ulong size)
    {
        Assert.Equal(0, Do(XsegOp.Create, name, length: size).Status);
        return Open(name);
    }

    internal string List()
    {
        var info = Do(XsegOp.Info, "");
        Assert.Equal(0, info.Status);
        var read = Read("", 0, 0, 4096);
        Assert.Equal(0, read.Status);
        Assert.Equal(info.Serviced, read.Serviced);
        return Encoding.ASCII.GetString(read.Data, 0, (int)read.Serviced);
    }

    /// <summary>All objects that the store holds but the catalogue, locks, and names that nobody has.</summary>
    internal List<string> Objects() => [.. ClientNode.Run(() => StoreList.ObjectsAsync(Client))];

    /// <summary>How many objects of a kind the store holds: <c>n</c>ames, <c>v</c>olumes, <c>d</c>irectories, chunks of <c>m</c>aps, <c>o</c>f data.</summary>
    internal int Count(char kind) => Objects().Count(name => name[0] == kind);

    /// <summary>No deletion goes on in the background any more, and what crashes had left is settled.</summary>
    internal void UntilIdle()
    {
        Assert.Equal(0, Do(XsegOp.Info, "").Status);
        MapperdNode.Until(() => Mapperd.Volumes is { IsSettled: true, Purges: 0 }, "background work does not end");
    }

    internal T OnStore<T>(Func<T> work) => Store.Run(() => Task.FromResult(work()));

    internal void Change(MemdOptions options) => Store.Run(async () =>
    {
        await Memd.ChangeAsync(options);
        return true;
    });

    public void Dispose()
    {
        foreach (var node in _nodes) node.StopReactor();
        foreach (var node in _nodes) node.Dispose();
        _segment.Dispose();
        Memd.Dispose();
        Directory.Delete(_directory, recursive: true);
    }
}
