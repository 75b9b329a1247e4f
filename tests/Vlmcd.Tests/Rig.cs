using System.Text;
using Archipelago.Memd;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;

namespace Archipelago.Vlmcd.Tests;

/// <summary>memd behind a <see cref="CutPeer"/>, vlmcd, and a client: each on a reactor of its own, or all on one.</summary>
internal sealed class Rig : IDisposable
{
    internal const int ObjectSize = 16 << 10;
    private readonly string _directory = Path.Combine("/dev/shm", "vlmcd-test-" + Guid.NewGuid().ToString("N"));
    private readonly Segment _segment;
    private readonly List<Node> _nodes = [];
    private readonly Func<VlmcdPeer> _make;

    internal Rig(bool oneReactor = false, bool isVolatile = false, int fanOut = 16, Func<VlmcdPeer>? make = null, int slots = 256)
    {
        _make = make ?? (() => new VlmcdPeer(new VlmcdOptions { ObjectSize = ObjectSize, FanOut = fanOut }));
        _segment = Segment.Create(_directory, new SegmentOptions { Ports = 8, SlotsPerPort = slots, Pages = 6000, Flows = 64, Prefault = false });
        Store = NewNode();
        Memd = new MemdPeer(new MemdOptions { Volatile = isVolatile });
        Store.Start(Memd, "memd", "blocks", 2000);
        Cut = Store.Start(new CutPeer(Memd), "cut", "cache", 16);
        VlmcdNode = oneReactor ? Store : NewNode();
        Vlmcd = VlmcdNode.Start(_make(), "vlmcd", "volumes", 64);
        ClientNode = oneReactor ? Store : NewNode();
        Client = ClientNode.Start(new Client(), "client", null, 2000);
    }

    internal Node Store { get; }
    internal MemdPeer Memd { get; }
    internal CutPeer Cut { get; }
    internal Node VlmcdNode { get; private set; }
    internal VlmcdPeer Vlmcd { get; private set; }
    internal Node ClientNode { get; }
    internal Client Client { get; }

    internal Node NewNode()
    {
        var node = new Node(_directory);
        _nodes.Add(node);
        return node;
    }

    internal Answer Do(XsegOp op, string name, uint flow = 0, ulong offset = 0, ulong length = 0, RequestFlags flags = RequestFlags.None) =>
        ClientNode.Run(() => Client.Do("volumes", op, name, flow, offset, length, flags));

    internal Answer Write(string name, uint flow, ulong offset, byte[] data, RequestFlags flags = RequestFlags.None) =>
        ClientNode.Run(() => Client.Write("volumes", name, flow, offset, data, flags));

    internal Answer Read(string name, uint flow, ulong offset, ulong length, bool ownPages = false) =>
        ClientNode.Run(() => Client.Read("volumes", name, flow, offset, length, ownPages));

    internal uint Open(string name)
    {
        var answer = Do(XsegOp.Open, name);
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

    /// <summary>Objects of volumes and headers that the store holds.</summary>
    internal List<string> Objects()
    {
        var names = Store.Run(() => Task.FromResult(Cut.Written.Where(name => !name.StartsWith("c.", StringComparison.Ordinal)).ToArray()));
        return [.. names.Where(name => ClientNode.Run(() => Client.Do("blocks", XsegOp.Info, name)).Status == 0)];
    }

    /// <summary>kill -9 of vlmcd, and a successor. What hung at the cut has had no effect.</summary>
    internal void KillVlmcd(bool powerFailure = false)
    {
        VlmcdNode.StopReactor();
        Store.Run(() =>
        {
            Cut.Mend();
            if (powerFailure) Memd.Crash();
            return Task.FromResult(true);
        });
        VlmcdNode.Bury();
        VlmcdNode = NewNode();
        Vlmcd = VlmcdNode.Start(_make(), "vlmcd", "volumes", 64);
    }

    /// <summary>No deletion and no trim goes on in the background any more.</summary>
    internal void UntilIdle()
    {
        Assert.Equal(0, Do(XsegOp.Info, "").Status);
        VlmcdNode.Until(() => Vlmcd.Volumes.Purges == 0 && Vlmcd.Volumes.Table.All.All(volume => !volume.TrimLoopRuns), "background work does not end");
    }

    public void Dispose()
    {
        foreach (var node in _nodes) node.StopReactor();
        foreach (var node in _nodes) node.Dispose();
        _segment.Dispose();
        Memd.Dispose();
        Directory.Delete(_directory, recursive: true);
    }
}
