using System.Text;
using Archipelago.Mapperd.Control;
using Archipelago.Mapperd.Format;
using Archipelago.Mapperd.Volumes;
using Archipelago.Maps;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests.Simulated;

/// <summary>Compares the store with the model.</summary>
internal sealed partial class Storm
{
    private const int ReadAtOnce = 256;

    private int AnyHost(Disk disk) => disk.Host >= 0 ? disk.Host : _random.Next(_hosts.Length);

    private void CheckAll()
    {
        string expected = string.Concat(_disks.All.Keys.Select(name => name + "\n")), list = List(_random.Next(_hosts.Length));
        Require(expected == list, $"listed {list.Replace('\n', ' ')}, expected {expected.Replace('\n', ' ')}");
        foreach (string name in _disks.All.Keys) Check(name);
    }

    private void Check(string name)
    {
        var disk = _disks.All[name];
        string? difference = Difference(AnyHost(disk), name, disk, isLost: false);
        Require(difference == null, $"{difference}");
    }

    /// <summary>Null if a volume and its snapshots are as the model says; where a host was lost its head may be older.</summary>
    private string? Difference(int host, string name, Disk disk, bool isLost)
    {
        var seen = Run(_hosts[host].OnMapperd(() => _hosts[host].Mapperd.Volumes.LookAsync(name)), "look", host);
        var known = seen.Snapshots.Where(one => one.State == SnapshotState.Live).Select(one => one.Name).Order(StringComparer.Ordinal).ToArray();
        if (!known.SequenceEqual(disk.Snapshots.Keys)) return $"{name} has snapshots {string.Join(' ', known)}, expected {string.Join(' ', disk.Snapshots.Keys)}";
        if (seen.Root!.BaseVolume != 0 != (disk.BaseId != 0)) return $"{name} has base {seen.Root.BaseVolume:x}, expected {disk.BaseId}";
        if (seen.Root.ObjectSize != disk.ObjectSize) return $"{name} has objects of {seen.Root.ObjectSize}, expected {disk.ObjectSize}";
        uint flow = disk.Host == host && !isLost ? _flows[name] : 0;
        if (Compare(host, name, disk, flow, disk.Head, isLost ? disk.Older : []) is { } head) return head;
        foreach (var (snapshot, content) in disk.Snapshots)
            if (Compare(host, $"{name}@{snapshot}", disk, 0, content, []) is { } kept) return kept;
        return null;
    }

    private string? Compare(int host, string name, Disk disk, uint flow, Content expected, IReadOnlyList<Content> older)
    {
        string? wrong = null;
        var read = ReadAll(host, name, disk, flow, expected, out string? fault);
        foreach (var (sector, stamp) in read)
            if (stamp != expected[sector] && !older.Any(content => content[sector] == stamp)) wrong ??= $"{name} sector {sector} (object {sector / (disk.ObjectSize / Content.Sector)}) is {stamp}, expected {expected[sector]}";
        return fault ?? wrong;
    }

    /// <summary>Opens a version if it need be, and reads it, or of a large one what matters.</summary>
    private List<(int Sector, ulong Stamp)> ReadAll(int host, string name, Disk disk, uint flow, Content expected, out string? fault)
    {
        var client = _hosts[host].Client;
        var read = new List<(int, ulong)>();
        bool opens = flow == 0;
        fault = null;
        if (opens)
        {
            var opened = Run(_hosts[host].OnClient(() => client.Do("volumes", XsegOp.Open, name, flags: RequestFlags.ReadOnly)), $"open {name}");
            if (opened.Status != 0) fault = $"{name} cannot be opened: {opened.Status}";
            if (fault != null) return read;
            flow = opened.Flow;
        }

        ulong size = Run(_hosts[host].OnClient(() => client.Do("volumes", XsegOp.Info, name)), $"info {name}").Serviced;
        if (size != expected.Bytes) fault = $"{name} has {size} bytes, expected {expected.Bytes}";
        else
            foreach (var (first, count) in Ranges(disk, expected))
            {
                var answer = Run(_hosts[host].OnClient(() => client.Read("volumes", name, flow, (ulong)first * Content.Sector, (ulong)count * Content.Sector)), $"read {name}");
                if (answer.Status != 0) fault = $"{name} cannot be read at {first}+{count}: {answer.Status}";
                if (fault != null) break;
                for (int i = 0; i < count; i++)
                {
                    var stamp = Content.StampOf(answer.Data.AsSpan(i * Content.Sector, Content.Sector), first + i);
                    if (stamp == null) fault ??= $"{name} sector {first + i} is torn or misplaced: {BitConverter.ToUInt64(answer.Data, i * Content.Sector)}";
                    else read.Add((first + i, stamp.Value));
                }
            }

        if (opens)
        {
            int closed = Run(_hosts[host].OnClient(() => client.Do("volumes", XsegOp.Close, name, flags: RequestFlags.ReadOnly)), $"close {name}").Status;
            if (closed != 0) fault ??= $"{name} cannot be closed: {closed}";
        }

        return read;
    }

    /// <summary>All of a small version; of a large one what was written anywhere, the borders, and some more.</summary>
    private IEnumerable<(int First, int Count)> Ranges(Disk disk, Content content)
    {
        if (!_kind.Borders)
        {
            for (int at = 0; at < content.Sectors; at += ReadAtOnce) yield return (at, Math.Min(ReadAtOnce, content.Sectors - at));
            yield break;
        }

        int perObject = disk.ObjectSize / Content.Sector;
        var extents = new SortedSet<int>(content.Used.Concat(_disks.All.Values.SelectMany(other => other.Snapshots.Values.Append(other.Head)).SelectMany(other => other.Used)).Select(sector => sector / Content.Extent));
        foreach (int border in s_borders.Append(content.Sectors / perObject).Append(0).Append(_random.Next(content.Sectors / perObject + 1)))
            for (int near = border - 3; near <= border + 3; near++) extents.Add(near);
        int from = -1, end = -1;
        foreach (int extent in extents.Where(extent => extent >= 0 && extent * Content.Extent < content.Sectors))
        {
            if (extent != end || end - from == ReadAtOnce / Content.Extent)
            {
                if (from >= 0) yield return Range();
                from = extent;
            }

            end = extent + 1;
        }

        if (from >= 0) yield return Range();

        (int, int) Range() => (from * Content.Extent, Math.Min(end * Content.Extent, content.Sectors) - from * Content.Extent);
    }

    private string List(int host)
    {
        var read = Run(_hosts[host].OnClient(() => _hosts[host].Client.Read("volumes", "", 0, 0, 4096)), "list");
        Require(read.Status == 0, $"list: {read.Status}");
        return Encoding.ASCII.GetString(read.Data, 0, (int)read.Serviced);
    }

    /// <summary>Work on a reactor of mapperd ends with it: nobody dies meanwhile.</summary>
    private T Run<T>(Task<T> task, string what, int host)
    {
        Require(_deaths.Count == 0 && _hosts[host].IsWhole, $"{what}: somebody may die");
        return Run(task, what);
    }

    /// <summary>Hash, diff and usage against what the model says of the same.</summary>
    private void Inspect()
    {
        var versions = _disks.All.SelectMany(disk => disk.Value.Snapshots.Select(snapshot => ($"{disk.Key}@{snapshot.Key}", disk.Value, snapshot.Value)).Prepend((disk.Key, disk.Value, disk.Value.Head))).ToArray();
        if (versions.Length == 0) return;
        var (name, disk, content) = versions[_random.Next(versions.Length)];
        CheckUsage(name.Split('@')[0]);
        var others = versions.Where(other => other.Item2.ObjectSize == disk.ObjectSize && (other.Item2.Host < 0 || disk.Host < 0 || other.Item2.Host == disk.Host)).ToArray();
        var (from, fromDisk, fromContent) = others[_random.Next(others.Length)];
        int host = disk.Host >= 0 ? disk.Host : AnyHost(fromDisk);
        CheckDifference(host, from, fromContent, name, content, disk.ObjectSize);
        if (!_kind.Borders) CheckHashes(host, others.Where(other => other.Item2.Host < 0 || other.Item2.Host == host).Select(other => (other.Item1, other.Item3)));
    }

    private void CheckDifference(int host, string from, Content old, string to, Content young, int objectSize)
    {
        var extents = new List<DiffExtent>();
        var volumes = _hosts[host].Mapperd.Volumes;
        Run(_hosts[host].OnMapperd(async () =>
        {
            await volumes.DiffAsync(VolumeName.Parse(from), VolumeName.Parse(to), item =>
            {
                extents.AddRange(item.Extents);
                return default;
            }, CancellationToken.None);
            return 0;
        }), $"diff of {from} and {to}", host);
        int perObject = objectSize / Content.Sector;
        foreach (int first in young.Used.Concat(old.Used).Distinct())
            for (int sector = first; sector < Math.Min(first + Content.Extent, young.Sectors); sector++)
            {
                var covering = extents.Find(extent => extent.Offset <= (ulong)sector * Content.Sector && (ulong)sector * Content.Sector < extent.Offset + extent.Length);
                Require(covering != null || old[sector] == young[sector], $"diff of {from} and {to} on {host} leaves out sector {sector} (object {sector / perObject}): {old[sector]} became {young[sector]}");
                Require(covering is not { Kind: "zero" } || young[sector] == 0, $"diff of {from} and {to} says zeros at sector {sector}: it is {young[sector]}");
                Require(covering is not { Kind: "unknown" }, $"diff of {from} and {to} does not know sector {sector}");
            }

        if (extents.Count > 0) Require(extents[^1].Offset + extents[^1].Length <= young.Bytes, $"diff of {from} and {to} goes beyond the end");
    }

    private void CheckUsage(string name)
    {
        var disk = _disks.All[name];
        int host = AnyHost(disk);
        IReadOnlyList<VersionUsage>? found = null;
        var volumes = _hosts[host].Mapperd.Volumes;
        Run(_hosts[host].OnMapperd(async () =>
        {
            await volumes.CountAsync(name, item =>
            {
                found = item.Versions ?? found;
                return default;
            }, CancellationToken.None);
            return 0;
        }), $"usage of {name}", host);
        int perObject = disk.ObjectSize / Content.Sector;
        foreach (var (version, content) in disk.Snapshots.Select(snapshot => ($"{name}@{snapshot.Key}", snapshot.Value)).Append((name, disk.Head)))
        {
            var usage = found!.SingleOrDefault(one => one.Name == version && one.State == "ok");
            Require(usage != null, $"usage of {name} leaves out {version}");
            long objects = content.Used.SelectMany(first => Enumerable.Range(first, Content.Extent)).Where(sector => content[sector] != 0).Select(sector => sector / perObject).Distinct().Count();
            long all = (content.Sectors + perObject - 1) / perObject, counted = (long)(usage!.OwnObjects + usage.SharedObjects);
            Require(counted >= objects && counted <= all && usage.DamagedObjects == 0 && usage.Size == content.Bytes, $"usage of {version}: {usage}; {objects} to {all} objects");
        }
    }

    private void CheckHashes(int host, IEnumerable<(string Name, Content Content)> versions)
    {
        var contents = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, content) in versions.OrderBy(_ => _random.Next()).Take(6))
        {
            var answer = Run(_hosts[host].OnClient(() => _hosts[host].Client.Do("volumes", XsegOp.Hash, name)), $"hash of {name}");
            Require(answer.Status == 0, $"hash of {name}: {answer.Status}");
            string hash = Convert.ToHexString(answer.Result.AsSpan(0, 32)), key = content.Key();
            // Trailing zeros are not hashed: what differs in size alone may have one hash.
            if (contents.TryGetValue(key, out string? other)) Require(hash == other, $"hash of {name} is {hash}; of a version with the same content {other}");
            else contents.Add(key, hash);
            key = key.Split('/')[1];
            foreach (var (known, its) in contents) Require(its != hash || known.Split('/')[1] == key, $"hash of {name} is that of a version with another content");
        }
    }

    private void UntilIdle()
    {
        for (int i = 0; i < _hosts.Length; i++)
        {
            var host = _hosts[i];
            Wait(() => host.Mapperd.Volumes is { IsSettled: true, Purges: 0 }, "background work");
        }
    }

    /// <summary>All that is left is what the volumes need; and nothing when they are gone.</summary>
    private void Settle()
    {
        EndDeaths();
        EndCollections();
        CheckAll();
        Inspect();
        UntilIdle();
        string[] before = All();
        _log.Add($"collected {Collect()}");
        string[] leftOver = [.. before.Except(All())];
        if (!_wasCut) Require(leftOver.Length == 0, $"{leftOver.Length} of {before.Length} objects were left over: {string.Join(' ', leftOver.Take(8))}");
        CheckAll();
        foreach (var (name, disk) in _disks.All.Where(disk => disk.Value.Host >= 0).ToArray()) Do(new Act(XsegOp.Close, name), disk.Host);
        while (_disks.All.Count > 0)
        {
            string leaf = _disks.All.First(disk => !disk.Value.Snapshots.Keys.Any(snapshot => _disks.HasClones(disk.Value, snapshot))).Key;
            Do(new Act(XsegOp.Delete, leaf, Flags: RequestFlags.Force), _random.Next(_hosts.Length));
        }

        UntilIdle();
        if (_wasCut) Collect();
        string[] objects = Objects();
        Require(objects.Length == 0, $"{objects.Length} objects are left of nothing: {string.Join(' ', objects.Take(8))}");
    }

    private Collection Collect()
    {
        int host = _random.Next(_hosts.Length);
        return Run(_hosts[host].OnMapperd(() => _hosts[host].Mapperd.Volumes.CollectAsync(dryRun: false)), "collection", host);
    }

    private void Do(Act act, int host)
    {
        var doing = new Doing(act, host, [act.Volume]) { Before = _disks };
        _log.Add(doing.ToString());
        (_disks, doing.Expected) = _disks.Apply(act, host);
        doing.Answer = _hosts[host].OnClient(() => SendAsync(doing));
        Wait(() => doing.IsOver, act.ToString());
        Judge(doing);
    }

    private string[] All() => Run(_hosts[0].OnClient(() => Vlmcd.Tests.StoreList.AllAsync(_hosts[0].Client)), "list of objects");

    private string[] Objects() => Run(_hosts[0].OnClient(() => Vlmcd.Tests.StoreList.ObjectsAsync(_hosts[0].Client)), "list of objects");
}
