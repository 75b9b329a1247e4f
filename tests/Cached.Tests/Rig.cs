using Archipelago.Memd;
using Archipelago.Runtime.Routing;
using Archipelago.Simulation;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Tables;

namespace Archipelago.Cached.Tests;

/// <summary>Which processes the peers run in.</summary>
internal enum Placement
{
    /// <summary>All in one: hops are calls.</summary>
    One,
    /// <summary>Cache and blocker in one, the client apart.</summary>
    ClientApart,
    /// <summary>Each in its own: hops are rings.</summary>
    Apart,
}

/// <summary>Client, cache and memd (or another blocker) on a simulated host, over a segment of their own.</summary>
internal sealed unsafe class Rig : IDisposable
{
    private static int s_count;
    private readonly string _directory;
    private readonly Placement _placement;
    private readonly int _clientPages;

    internal Rig(ulong seed = 1, CachedOptions? options = null, Placement placement = Placement.Apart, MemdOptions? memd = null, Peer? blocker = null,
        int slots = 256, int flows = 8, int clientPages = 1200, int sparePages = 64, int objects = 64, bool clientOnly = false)
    {
        (Options, _placement, SparePages) = (options ?? new CachedOptions { Pages = 256 }, placement, sparePages);
        CacheOptions = Options;
        string root = Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath();
        _directory = Path.Combine(root, $"archipelago-cached-tests-{Environment.ProcessId}-{Interlocked.Increment(ref s_count)}");
        Segment.Create(_directory, new SegmentOptions
        {
            Ports = 4,
            SlotsPerPort = slots,
            Routes = 4,
            Flows = flows,
            Objects = objects,
            Sessions = 1,
            Pages = clientPages + Options.Pages + sparePages + MemdPages + 64,
            Prefault = false,
        }).Dispose();
        World = new SimWorld(seed);
        Memd = new MemdPeer(memd ?? new MemdOptions());
        Blocker = blocker ?? Memd;
        BlocksProcess = World.Spawn("memd", _directory);
        BlocksProcess.Start(BlocksPlan());
        CacheProcess = placement == Placement.Apart ? World.Spawn("cached", _directory) : BlocksProcess;
        Cached = new CachedPeer(Options);
        if (!clientOnly) CacheProcess.Start(CachePlan());
        ClientProcess = placement == Placement.One ? CacheProcess : World.Spawn("client", _directory);
        _clientPages = clientPages;
        Client = new Client();
        ClientProcess.Start(ClientPlan());
        for (int i = 1; i < Math.Min(flows, 4); i++) FlowTable.FindOrAdd(ClientProcess.Segment, System.Text.Encoding.UTF8.GetBytes($"flow{i}"));
    }

    internal const int MemdPages = 300;
    internal CachedOptions Options { get; }
    /// <summary>Of the next cache.</summary>
    internal CachedOptions CacheOptions { get; set; }
    internal int SparePages { get; }
    internal SimWorld World { get; }
    internal MemdPeer Memd { get; }
    internal Peer Blocker { get; }
    internal CachedPeer Cached { get; private set; }
    internal Client Client { get; private set; }
    internal SimProcess BlocksProcess { get; private set; }
    internal SimProcess CacheProcess { get; private set; }
    internal SimProcess ClientProcess { get; private set; }
    internal string DirectoryPath => _directory;
    internal Store Store => Cached.Store;

    /// <summary>Sets a flow's policy; without "safe until first flush" unless asked for.</summary>
    internal void SetPolicy(uint flow, CachePolicy policy, bool safeUntilFlush = false)
    {
        var entry = ClientProcess.Segment.FlowAt(flow);
        (entry->Policy, entry->SafeUntilFlush) = ((byte)policy, safeUntilFlush ? (byte)1 : (byte)0);
    }

    /// <summary>Runs something of the client to its end, while everything else goes on.</summary>
    internal T Run<T>(Func<Task<T>> action, string what = "request")
    {
        var task = Start(action);
        World.RunUntil(() => task.IsCompleted, what);
        return task.GetAwaiter().GetResult();
    }

    internal Task<T> Start<T>(Func<Task<T>> action) => ClientProcess.Reactor.Run(action);

    internal Reply Write(uint flow, string name, ulong offset, byte[] data, RequestFlags flags = RequestFlags.None) =>
        Run(() => Client.WriteAsync(flow, name, offset, data, flags), "write");

    internal Reply Read(uint flow, string name, ulong offset, ulong length, bool own = false, RequestFlags flags = RequestFlags.None) =>
        Run(() => Client.ReadAsync(flow, name, offset, length, own, flags), "read");

    internal Reply ReadBelow(uint flow, string name, ulong offset, ulong length) =>
        Run(() => Client.ReadAsync(flow, name, offset, length, own: true, route: Client.Blocks), "read of the blocker");

    internal Reply Do(XsegOp op, uint flow, string name, ulong offset = 0, ulong length = 0, RequestFlags flags = RequestFlags.None, string? source = null) =>
        Run(() => Client.IssueAsync(op, flow, name, offset, length, flags, source), op.ToString());

    internal Reply Below(XsegOp op, uint flow, string name, ulong offset = 0, ulong length = 0, RequestFlags flags = RequestFlags.None) =>
        Run(() => Client.IssueAsync(op, flow, name, offset, length, flags, route: Client.Blocks), $"{op} of the blocker");

    /// <summary>kill -9 of the cache, unless it is dead already, and a new one on the same segment.</summary>
    internal void RestartCache()
    {
        Assert.Equal(Placement.Apart, _placement);
        int port = Cached.Context.Port.Number;
        CacheProcess.Kill();
        // The successor must wait for what the blocker still runs; here nobody can wait, so the world goes on until it need not.
        World.RunUntil(() => !IsAwaited(port), "requests of the dead cache at the blocker");
        Cached = new CachedPeer(CacheOptions);
        CacheProcess = World.Spawn("cached", _directory);
        CacheProcess.Start(CachePlan());
    }

    /// <summary>kill -9 of the blocker's process; its store is as a disk, or rather a page cache: what it had taken stays.</summary>
    internal void RestartBlocks()
    {
        Assert.Equal(Placement.Apart, _placement);
        BlocksProcess.Kill();
        BlocksProcess = World.Spawn("memd", _directory);
        BlocksProcess.Start(BlocksPlan());
    }

    /// <summary>kill -9 of the client, and a new one as soon as nobody runs a request of the old one any more.</summary>
    internal void RestartClient()
    {
        Assert.Equal(Placement.Apart, _placement);
        int port = Client.Context.Port.Number;
        ClientProcess.Kill();
        World.RunUntil(() => !IsAwaited(port), "requests of the dead client");
        Client = new Client();
        ClientProcess = World.Spawn("client", _directory);
        ClientProcess.Start(ClientPlan());
    }

    private PeerPlan BlocksPlan() => new() { Name = "blocks", Peer = Blocker, Serves = "blocks", Pages = MemdPages };

    private PeerPlan ClientPlan() => new() { Name = "client", Peer = Client, Pages = _clientPages, FenceTimeout = TimeSpan.FromSeconds(1) };

    private PeerPlan CachePlan() => new() { Name = "cached", Peer = Cached, Serves = "cache", Pages = Options.Pages + SparePages, KeepsCachePages = true, FenceTimeout = TimeSpan.FromSeconds(1) };

    private bool IsAwaited(int port)
    {
        var segment = BlocksProcess.Segment;
        uint first = (uint)port << segment.SlotShift;
        for (uint slot = first; slot < first + segment.SlotsPerPort; slot++)
        {
            var word = new SlotWord(segment.SlotAt(slot)->Word);
            if (word.State == SlotState.Running && word.Holder != port) return true;
        }

        return false;
    }

    /// <summary>kill -9 of all.</summary>
    internal void KillAll()
    {
        ClientProcess.Kill();
        CacheProcess.Kill();
        BlocksProcess.Kill();
    }

    public void Dispose()
    {
        KillAll();
        Memd.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>Bytes of which each sector tells <paramref name="stamp"/>.</summary>
    internal static byte[] Fill(int length, ulong stamp)
    {
        byte[] bytes = new byte[length];
        var words = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, ulong>(bytes.AsSpan());
        for (int i = 0; i < words.Length; i++) words[i] = stamp == 0 ? 0 : stamp * 0x9E37_79B9_7F4A_7C15 + (ulong)(i & 63);
        return bytes;
    }
}
