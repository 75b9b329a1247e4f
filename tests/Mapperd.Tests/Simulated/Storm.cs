using Archipelago.Mapperd;
using Archipelago.Memd;
using Archipelago.Runtime;
using Archipelago.Simulation;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests.Simulated;

/// <summary>
/// Rounds of random requests, a few at once, to one host or two over one store, against a model of all content; gc beside them, and whoever dies, dies in their
/// middle. Everything follows from the seed: a failure replays exactly.
/// </summary>
internal sealed partial class Storm : IDisposable
{
    private readonly StormKind _kind;
    private readonly Random _random;
    private readonly SimWorld _world;
    private readonly MemdPeer _store;
    private readonly HostPlan _plan;
    private readonly SimHost[] _hosts;
    private readonly Dictionary<string, uint> _flows = new(StringComparer.Ordinal);
    private readonly List<string> _log = [];
    private Disks _disks = Disks.None;
    private ulong _stamp;
    /// <summary>Something was cut off: the collector may find something.</summary>
    private bool _wasCut;

    internal Storm(StormKind kind, int seed)
    {
        (_kind, _random) = (kind, new Random(seed * 31 + kind.Name.Length));
        _world = new SimWorld((ulong)seed) { Patience = 40_000_000, LongestWait = 4_000_000_000_000 };
        ObjectSize = kind.Borders ? 4096 : 4096 << (seed % 3);
        var memd = new MemdOptions { Volatile = kind.StoreLoses || (kind.HostsDie && kind.Hosts == 1) };
        if (seed % 4 == 0) memd = memd with { Latency = TimeSpan.FromMicroseconds(5), Jitter = TimeSpan.FromMicroseconds(50) };
        _store = new MemdPeer(memd);
        _plan = new HostPlan(
            new MapperdOptions { ObjectSize = ObjectSize, FirstRetry = TimeSpan.FromMilliseconds(5), FanOut = 1 + seed % 5, Memory = seed % 3 == 0 ? 1 << 20 : 64 << 20, Lease = TimeSpan.FromSeconds(5), Owner = "storm" },
            FanOut: 1 + seed % 8, kind.HasCache);
        _hosts = new SimHost[kind.Hosts];
        for (int i = 0; i < kind.Hosts; i++) _hosts[i] = new SimHost(_world, _plan, _store);
    }

    /// <summary>How often each op was answered how.</summary>
    internal SortedDictionary<string, int> Counts { get; } = new(StringComparer.Ordinal);
    internal long Steps => _world.Steps;
    private int ObjectSize { get; }

    internal void Run()
    {
        try
        {
            for (int round = 0; round < _kind.Rounds; round++) Round();
            Settle();
        }
        catch (Exception failure)
        {
            string trace = string.Join("\n", (failure.StackTrace ?? "").Split('\n').Take(12));
            throw new Xunit.Sdk.XunitException($"{failure.Message}\n after {string.Join("\n ", _log.TakeLast(30))}\n{trace}");
        }
    }

    public void Dispose()
    {
        foreach (var host in _hosts) host.Dispose();
        _store.Dispose();
    }

    private void Round()
    {
        var acts = Choose();
        foreach (var doing in acts)
        {
            doing.Before = _disks;
            (_disks, doing.Expected) = _disks.Apply(doing.Act, doing.Host);
            _log.Add(doing.ToString());
        }

        foreach (var doing in acts) doing.Answer = _hosts[doing.Host].OnClient(() => SendAsync(doing));
        if (_random.Next(10) == 0) StartCollection(_random.Next(_hosts.Length), dryRun: _random.Next(3) == 0);
        PlanDeaths();
        if (_kind.HostsDie && _random.Next(12) == 0)
        {
            long until = _world.Steps + _random.Next(_random.Next(3) == 0 ? 4000 : 400);
            while (_world.Steps < until && _world.Step()) Revive();
            HostDies(_random.Next(_hosts.Length), acts);
        }
        else
        {
            bool isLost = _kind.StoreLoses && _random.Next(6) == 0 && acts.TrueForAll(MayLose);
            if (isLost) LoseWhatIsNotStable(_world.Steps + _random.Next(400));
            Wait(() => acts.TrueForAll(doing => doing.IsOver), "requests");
            foreach (var doing in acts) Judge(doing);
            if (isLost) FindOutWhatIsLeft();
            foreach (var doing in acts.Where(doing => doing.Act.Code == XsegOp.Snapshot && doing.Expected == 0)) FindOutWhatWasCaught(doing, acts);
        }

        EndDeaths();
        foreach (var opened in acts.Where(doing => doing.Act.Code == XsegOp.Open && !doing.IsLost && doing.Expected == 0 && _random.Next(2) == 0)) Check(opened.Act.Volume);
        if (_random.Next(3) == 0 && acts.Find(doing => _disks.All.ContainsKey(doing.Act.Volume)) is { } looked) Check(looked.Act.Volume);
        if (_random.Next(_kind.Borders ? 25 : 15) == 0) CheckAll();
        if (_random.Next(10) == 0) Inspect();
    }

    /// <summary>Sends what a gateway would; another host's removals, and leases of the dead, hold a volume for a while.</summary>
    private async Task<Vlmcd.Tests.Answer> SendAsync(Doing doing)
    {
        var (act, host) = (doing.Act, _hosts[doing.Host]);
        for (int tries = 0; ; tries++)
        {
            var answer = await OneAsync();
            if (answer.Status != Errno.EBUSY || doing.Expected == Errno.EBUSY || tries == 200 || !(_kind.HostsDie || _kind.Hosts > 1)) return answer;
            await host.Client.Context.Reactor.Delay(TimeSpan.FromSeconds(1));
        }

        Task<Vlmcd.Tests.Answer> OneAsync()
        {
            uint flow = act.IsData || act.Code is XsegOp.Flush ? _flows.GetValueOrDefault(act.Name) : 0;
            ulong offset = (ulong)act.First * Content.Sector, length = (ulong)act.Count * Content.Sector;
            if (act.Code == XsegOp.Create) offset = (ulong)act.ObjectSize;
            if (act.Code != XsegOp.Write) return host.Client.Do("volumes", act.Code, act.Name, flow, offset, length, act.Flags, act.Source);
            var data = new byte[length];
            Content.Fill(data, act.First, act.Stamp);
            return host.Client.Write("volumes", act.Name, flow, offset, data, act.Flags);
        }
    }

    private void Judge(Doing doing)
    {
        if (doing.IsLost) return;
        var (act, answer) = (doing.Act, doing.Answer!.Result);
        if (act.Code == XsegOp.Flatten && answer.Status == Errno.ESHUTDOWN)
        {
            // It ends with its peer, and is to be done again.
            Undo(doing);
            return;
        }

        // Of a deletion that is replayed nobody knows whether it was refused, or done.
        bool isDone = answer.Status == doing.Expected || (act.Code == XsegOp.Delete && doing.Expected == Errno.ENOENT && answer.Status == 0 && _wasCut);
        Counts[$"{act.Code} {answer.Status}"] = Counts.GetValueOrDefault($"{act.Code} {answer.Status}") + 1;
        Require(isDone, $"{doing}: status {answer.Status}, expected {doing.Expected}: {_hosts[doing.Host].Mapperd.LastRefusal}");
        if (act.Code == XsegOp.Open && answer.Status == 0) _flows[act.Name] = answer.Flow;
        if (act.Code == XsegOp.Close) _flows.Remove(act.Name);
    }

    /// <summary>Each write beside a snapshot came before or after it as a whole, unless somebody died.</summary>
    private void FindOutWhatWasCaught(Doing snapshot, List<Doing> acts)
    {
        string name = snapshot.Act.Name;
        var beside = acts.Where(doing => doing.Act.IsData && doing.Act.Volume == name).ToArray();
        if (beside.Length == 0) return;
        var before = acts.Find(doing => doing.Act.Volume == name)!.Before.All[name];
        var (disk, found) = (_disks.All[name], before.Head.Resized(snapshot.Before.All[name].Head.Sectors));
        var read = ReadAll(snapshot.Host, $"{name}@{snapshot.Act.Source}", disk, 0, found, out string? fault).ToDictionary();
        Require(fault == null, fault ?? "");
        foreach (var write in beside)
        {
            int caught = 0, missed = 0;
            for (int sector = write.Act.First; sector < write.Act.First + write.Act.Count; sector++)
            {
                // Of a large volume what was never written is not read.
                ulong old = before.Head[sector], stamp = read.GetValueOrDefault(sector);
                Require(stamp == old || stamp == write.Act.Stamp, $"{name}@{snapshot.Act.Source} sector {sector} is {stamp}, neither {old} nor {write.Act.Stamp}");
                if (old == write.Act.Stamp) continue;
                if (stamp == old) missed++;
                else caught++;
                found = found.With(sector, stamp);
            }

            Require(caught == 0 || missed == 0 || _wasCut || _kind.Kills, $"{name}@{snapshot.Act.Source} has caught {caught} sectors of {write} and missed {missed}");
        }

        _disks = _disks.With(name, disk with { Snapshots = disk.Snapshots.SetItem(snapshot.Act.Source!, found), Older = disk.Older.AddRange(before.Older).Add(before.Head) });
    }

    /// <summary>What this act alone has changed is as it was before.</summary>
    private void Undo(Doing doing)
    {
        if (doing.Act.Code == XsegOp.Flatten)
        {
            var (before, now) = (doing.Before.All[doing.Act.Name], _disks.All[doing.Act.Name]);
            _disks = _disks.With(doing.Act.Name, now with { BaseId = before.BaseId, BaseSnapshot = before.BaseSnapshot });
            return;
        }

        foreach (string name in doing.Changed)
        {
            var all = doing.Before.All.TryGetValue(name, out var old) ? _disks.All.SetItem(name, old) : _disks.All.Remove(name);
            _disks = _disks with { All = all };
        }
    }

    /// <summary>Lets the world go on, and brings back whoever dies.</summary>
    private void Wait(Func<bool> done, string what)
    {
        long steps = _world.Steps, started = _world.Clock.Now;
        while (!done())
        {
            Revive();
            Require(_world.Step(), $"{what}: the world stands still");
            Require(_world.Steps - steps < _world.Patience && _world.Clock.Now - started < _world.LongestWait, $"{what}: hangs after {_world.Steps - steps} steps, {(_world.Clock.Now - started) / 1e9:f1} s");
        }
    }

    private T Run<T>(Task<T> task, string what)
    {
        Wait(() => task.IsCompleted, what);
        return task.GetAwaiter().GetResult();
    }

    private static void Require(bool holds, string what)
    {
        if (!holds) throw new InvalidOperationException(what);
    }

    /// <summary>An act under way.</summary>
    private sealed record Doing(Act Act, int Host, string[] Touched)
    {
        internal int Expected { get; set; }
        /// <summary>What it changes itself.</summary>
        internal IEnumerable<string> Changed => Act.Code == XsegOp.Rename ? [Act.Volume, Act.Source!] : [Act.Volume];
        internal Disks Before { get; set; } = Disks.None;
        internal Task<Vlmcd.Tests.Answer>? Answer { get; set; }
        /// <summary>Its host died with it.</summary>
        internal bool IsLost { get; set; }
        internal bool IsOver => IsLost || Answer!.IsCompleted;

        public override string ToString() => $"{Act} on {Host}";
    }
}
