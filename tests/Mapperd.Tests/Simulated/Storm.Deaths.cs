using Archipelago.Mapperd.Volumes;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests.Simulated;

/// <summary>Who dies or is restarted, and collections that run beside everything.</summary>
internal sealed partial class Storm
{
    private readonly List<(int Host, SimHost At, MapperdPeer By, Task<Collection> Done)> _collections = [];
    private readonly List<(long At, int Host, Part Part, int Way)> _deaths = [];

    private void PlanDeaths()
    {
        if (!_kind.Kills || _random.Next(4) > 0) return;
        // Three deaths of its holders end a request.
        for (int i = _random.Next(4) == 0 ? 2 : 1; i > 0; i--)
        {
            int host = _random.Next(_hosts.Length);
            _deaths.Add((_world.Steps + _random.Next(_random.Next(3) == 0 ? 3000 : 300), host, Pick(_hosts[host].Parts, Part.Memd), _random.Next(5)));
        }

        _deaths.Sort();
    }

    private void EndDeaths()
    {
        _deaths.Clear();
        foreach (var host in _hosts) host.Disarm();
        Revive();
    }

    /// <summary>Brings about the deaths whose time has come, and successors of the dead.</summary>
    private void Revive()
    {
        while (_deaths.Count > 0 && _world.Steps >= _deaths[0].At)
        {
            var (_, host, part, way) = _deaths[0];
            _deaths.RemoveAt(0);
            _log.Add($" {(way == 0 ? "restart" : way == 1 ? "kill" : "kill at a store")} {part} on {host} at step {_world.Steps}");
            if (way == 0) Restart(host, part);
            else if (way == 1) _hosts[host][part].Kill();
            else _hosts[host][part].KillBeforeStore(_random.Next(80));
        }

        foreach (var host in _hosts)
            while (host.FirstDead() is { } dead)
            {
                _wasCut = true;
                // A lower one may die meanwhile, and comes first then.
                while (host.FirstDead() == dead && host.IsAwaited(dead)) Require(_world.Step(), $"{dead} cannot be revived: the world stands still");
                if (host.FirstDead() == dead) host.Start(dead);
            }
    }

    private void Restart(int host, Part part)
    {
        foreach (var other in _hosts) other.Disarm();
        Revive();
        if (part == Part.Mapperd) _wasCut |= _collections.Count > 0;
        _hosts[host].Restart(part);
    }

    private void StartCollection(int host, bool dryRun)
    {
        if (_collections.Count > 0) return;
        var by = _hosts[host].Mapperd;
        if (by.Volumes == null) return;
        _log.Add($" collection on {host}{(dryRun ? ", dry" : "")}");
        _collections.Add((host, _hosts[host], by, _hosts[host].OnMapperd(() => by.Volumes.CollectAsync(dryRun))));
    }

    /// <summary>Collections end well, or with their mapperd.</summary>
    private void EndCollections()
    {
        Wait(() => _collections.TrueForAll(one => one.Done.IsCompleted || _hosts[one.Host] != one.At || one.At.Mapperd != one.By), "collection");
        foreach (var (_, _, _, done) in _collections)
            if (done.IsFaulted && done.Exception.InnerException is not (ErrnoException { Errno: Errno.ESHUTDOWN or Errno.ECANCELED } or Xseg.Memory.CrashException) and var fault) throw new InvalidOperationException($"collection: {fault}");
        _collections.Clear();
    }

    /// <summary>A host dies with its segment, and what is not stable with it; another takes its place.</summary>
    private void HostDies(int index, List<Doing> acts)
    {
        _log.Add($" host {index} dies at step {_world.Steps}");
        _wasCut = true;
        _deaths.Clear();
        _hosts[index].Dispose();
        if (_hosts.Length == 1) _store.Crash();
        _hosts[index] = new SimHost(_world, _plan, _store);
        foreach (var doing in acts) doing.IsLost = doing.Host == index && !doing.Answer!.IsCompleted;
        Wait(() => acts.TrueForAll(doing => doing.IsOver), "requests of others");
        foreach (var doing in acts) Judge(doing);
        // A volume that was being made is listed when that was put right, as soon as the dead one's lease is over.
        if (acts.Exists(doing => doing.IsLost)) UntilIdle();
        // Data first: whether a FLATTEN was done is seen by content that a write beside it may have lost.
        foreach (var doing in acts.Where(doing => doing.IsLost).OrderByDescending(doing => doing.Act.IsData)) Resolve(doing);
        foreach (var (name, disk) in _disks.All.Where(disk => disk.Value.Host == index).ToArray()) ReadBack(name, disk);
    }

    /// <summary>What was answered by then may be lost; what a request under way has promised to keep nobody could tell.</summary>
    private static bool MayLose(Doing doing) => doing.Act.IsData || (doing.Act.Code is not (XsegOp.Flush or XsegOp.Close) && doing.Before.All.GetValueOrDefault(doing.Act.Volume) is not { Host: >= 0 });

    private void LoseWhatIsNotStable(long at)
    {
        while (_world.Steps < at && _world.Step()) Revive();
        _log.Add($" the store loses what is not stable at step {_world.Steps}");
        foreach (var part in new[] { Part.Vlmcd, Part.Mapperd, Part.Memd }) _hosts[0][part].Kill();
        _store.Crash();
        Revive();
    }

    private void FindOutWhatIsLeft()
    {
        foreach (var (name, disk) in _disks.All.Where(disk => disk.Value.Host >= 0).ToArray())
        {
            uint flow = _flows[name];
            ReadBack(name, disk);
            _flows[name] = flow;
            // What was under way was written after the loss, and may be lost by the next one.
            _disks = _disks.With(name, _disks.All[name] with { Host = disk.Host, Older = disk.Older.Add(disk.Head) });
        }
    }

    /// <summary>Nobody was told whether it is done: it is, or it is not.</summary>
    private void Resolve(Doing doing)
    {
        string name = doing.Act.Volume;
        if (doing.Expected != 0 || doing.Act.Code == XsegOp.Open) return;
        // Of data any part may have been lost, and FLUSH and CLOSE have promised nothing.
        if (doing.Act.IsData) _disks = _disks.With(name, _disks.All[name] with { Older = _disks.All[name].Older.AddRange(doing.Before.All[name].Older).Add(doing.Before.All[name].Head) });
        else if (doing.Act.Code is XsegOp.Flush or XsegOp.Close) Undo(doing);
        if (doing.Act.IsData || doing.Act.Code is XsegOp.Flush or XsegOp.Close) return;
        string? isNotNew = FirstDifference(doing);
        if (isNotNew == null) return;
        Undo(doing);
        string? isNotOld = FirstDifference(doing);
        Require(isNotOld == null, $"{doing}: neither done ({isNotNew}) nor not done ({isNotOld})");
    }

    private string? FirstDifference(Doing doing)
    {
        string list = List(0);
        foreach (string name in doing.Changed)
        {
            if (_disks.All.ContainsKey(name) != list.Split('\n').Contains(name)) return $"listed: {list}";
            if (_disks.All.TryGetValue(name, out var disk) && Difference(0, name, disk, isLost: true) is { } difference) return difference;
        }

        return null;
    }

    /// <summary>The head is what is left of it.</summary>
    private void ReadBack(string name, Disk disk)
    {
        var found = disk.Head;
        var read = ReadAll(0, name, disk, 0, disk.Head, out string? fault);
        foreach (var (sector, stamp) in read)
            if (stamp != found[sector])
            {
                Require(disk.Older.Any(older => older[sector] == stamp), $"{name} sector {sector} is {stamp} after its host died: neither {found[sector]} nor {string.Join(' ', disk.Older.Select(older => older[sector]).Distinct())}");
                found = found.With(sector, stamp);
            }

        Require(fault == null, fault ?? "");
        _disks = _disks.With(name, disk with { Head = found, Older = [], Host = -1 });
        _flows.Remove(name);
    }
}
