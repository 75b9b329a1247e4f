using Archipelago.Cached;
using Archipelago.Mapperd;
using Archipelago.Memd;
using Archipelago.Runtime.Routing;
using Archipelago.Simulation;
using Archipelago.Vlmcd;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Memory;

namespace Archipelago.Mapperd.Tests.Simulated;

/// <summary>Who can die, from the store upwards: the order in which they are revived.</summary>
internal enum Part
{
    Memd,
    Cached,
    Mapperd,
    Vlmcd,
}

/// <summary>A host of the simulation: a segment; memd, perhaps cached, mapperd, vlmcd and a client, each in a process of its own.</summary>
internal sealed unsafe class SimHost : IDisposable
{
    private const int CachePages = 384, CacheSpare = 64;
    private static int s_count;
    private readonly SimWorld _world;
    private readonly HostPlan _plan;
    private readonly MemdPeer _store;
    private readonly string _directory;
    private readonly Dictionary<Part, SimProcess> _processes = [];
    private readonly Dictionary<Part, int> _ports = [];
    private readonly SimProcess _client;

    internal SimHost(SimWorld world, HostPlan plan, MemdPeer store)
    {
        (_world, _plan, _store) = (world, plan, store);
        _directory = $"/dev/shm/archipelago-mapperd-tests-{Environment.ProcessId}-{Interlocked.Increment(ref s_count)}";
        Segment.Create(_directory, new SegmentOptions
        {
            Ports = 8,
            SlotsPerPort = 256,
            Routes = 8,
            Flows = 256,
            Objects = 512,
            Sessions = 1,
            Pages = 2200,
            Prefault = false,
            CreationId = new UInt128(world.Random.NextUInt64(), world.Random.NextUInt64()),
        }).Dispose();
        foreach (var part in Parts) Start(part);
        _client = world.Spawn("client", _directory);
        Client = new Vlmcd.Tests.Client();
        _client.Start(new PeerPlan { Name = "client", Peer = Client, Pages = 400 });
    }

    internal Vlmcd.Tests.Client Client { get; }
    internal MapperdPeer Mapperd { get; private set; } = null!;
    internal IEnumerable<Part> Parts => Enum.GetValues<Part>().Where(part => part != Part.Cached || _plan.HasCache);
    internal bool IsWhole => _processes.Values.All(process => process.IsAlive);

    internal SimProcess this[Part part] => _processes[part];

    internal Task<T> OnClient<T>(Func<Task<T>> work) => _client.Reactor.Run(work);

    internal Task<T> OnMapperd<T>(Func<Task<T>> work) => _processes[Part.Mapperd].Reactor.Run(work);

    /// <summary>The first that is dead, from the store upwards, or null.</summary>
    internal Part? FirstDead()
    {
        foreach (var part in Parts)
            if (!_processes[part].IsAlive) return part;
        return null;
    }

    /// <summary>Whether somebody who lives still works on what the dead one had asked for: until then nothing may take its place.</summary>
    internal bool IsAwaited(Part part)
    {
        var segment = _client.Segment;
        int port = _ports[part];
        uint first = (uint)port << segment.SlotShift;
        for (uint slot = first; slot < first + segment.SlotsPerPort; slot++)
        {
            var word = new SlotWord(segment.SlotAt(slot)->Word);
            if (word.State == SlotState.Running && word.Holder != port) return true;
        }

        return false;
    }

    internal void Start(Part part)
    {
        var plan = PlanOf(part);
        var process = _world.Spawn(plan.Name, _directory);
        _processes[part] = process;
        process.Start(plan);
        _ports[part] = plan.Peer.Context.Port.Number;
    }

    /// <summary>An orderly end, and a successor.</summary>
    internal void Restart(Part part)
    {
        _processes[part].Stop();
        Start(part);
    }

    /// <summary>Nobody dies any more by what was armed before.</summary>
    internal void Disarm()
    {
        foreach (var process in _processes.Values) process.KillBeforeStore(-1);
    }

    public void Dispose()
    {
        foreach (var process in _processes.Values.Append(_client)) process.Kill();
        Directory.Delete(_directory, recursive: true);
    }

    private PeerPlan PlanOf(Part part)
    {
        string objects = _plan.HasCache ? "cache" : "blocks";
        var fence = TimeSpan.FromSeconds(1);
        switch (part)
        {
            case Part.Memd:
                return new PeerPlan { Name = "memd", Peer = new MemdPeer(_store), Serves = "blocks", Pages = 800, FenceTimeout = fence };
            case Part.Cached:
                var cached = new CachedPeer(new CachedOptions { Pages = CachePages });
                return new PeerPlan { Name = "cached", Peer = cached, Serves = "cache", Pages = CachePages + CacheSpare, KeepsCachePages = true, FenceTimeout = fence };
            case Part.Mapperd:
                Mapperd = new MapperdPeer(_plan.Mapperd with { Blocks = "blocks", Objects = objects });
                return new PeerPlan { Name = "mapperd", Peer = Mapperd, Serves = "maps", Pages = 160, FenceTimeout = fence };
            default:
                var vlmcd = new VlmcdPeer(new VlmcdOptions { FanOut = _plan.FanOut, Blocks = objects });
                return new PeerPlan { Name = "vlmcd", Peer = vlmcd, Serves = "volumes", Pages = 64, FenceTimeout = fence };
        }
    }
}

/// <summary>How the peers of a host are set up.</summary>
internal sealed record HostPlan(MapperdOptions Mapperd, int FanOut, bool HasCache);
