using Archipelago.Maps;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests.Simulated;

/// <summary>What is asked for.</summary>
internal sealed partial class Storm
{
    private const int MaxDisks = 6, MaxSnapshots = 4, MaxObjects = 8;
    private static readonly int[] s_borders = [MapGeometry.SectorEntries, 2 * MapGeometry.SectorEntries, MapGeometry.ChunkEntries, 2 * MapGeometry.ChunkEntries];

    private string _lastWritten = "none";

    /// <summary>Acts whose outcomes do not depend on one another; but a snapshot may be made while its volume is written to.</summary>
    private List<Doing> Choose()
    {
        var chosen = new List<Doing>();
        int width = 1 + _random.Next(_kind.Width);
        for (int tries = 0; tries < 12 && chosen.Count < width; tries++)
        {
            if (Next() is not { } act) continue;
            int host = _disks.All.TryGetValue(act.Volume, out var disk) && disk.Host >= 0 && _random.Next(20) > 0 ? disk.Host : _random.Next(_hosts.Length);
            // Another host's volume: what has several reasons to be refused is not asked for.
            if (disk is { Host: >= 0 } && disk.Host != host && act.Code is not (XsegOp.Open or XsegOp.Truncate)) host = disk.Host;
            var doing = new Doing(act, host, [.. TouchedBy(act)]);
            if (!chosen.Exists(other => AreInConflict(doing, other))) chosen.Add(doing);
        }

        return chosen;
    }

    private bool AreInConflict(Doing one, Doing other)
    {
        if (one.Act.IsData && other.Act.IsData) return one.Act.Volume == other.Act.Volume && one.Act.First < other.Act.First + other.Act.Count && other.Act.First < one.Act.First + one.Act.Count;
        if (one.Act.IsData) return MatterToData(other, one.Act.Volume);
        return other.Act.IsData ? MatterToData(one, other.Act.Volume) : one.Touched.Intersect(other.Touched).Any();
    }

    /// <summary>Whether data that is written to a volume beside an act may depend on it, or it on that.</summary>
    private bool MatterToData(Doing doing, string volume)
    {
        var act = doing.Act;
        if (act.Volume != volume && (act.Code != XsegOp.Rename || act.Source != volume)) return false;
        return act.Code switch
        {
            XsegOp.Flatten => false,
            XsegOp.Delete => _kind.HostsDie || _kind.StoreLoses || !act.Name.Contains('@'),
            XsegOp.Snapshot => _kind.HostsDie || _kind.StoreLoses,
            XsegOp.Truncate => _kind.HostsDie || _kind.StoreLoses || act.Count < _disks.All[volume].Head.Sectors,
            _ => true,
        };
    }

    private IEnumerable<string> TouchedBy(Act act)
    {
        yield return act.Volume;
        if (act.Source != null) yield return act.Source.Split('@')[0];
        if (act.Code is not (XsegOp.Delete or XsegOp.Flatten) || !_disks.All.TryGetValue(act.Volume, out var disk)) yield break;
        if (_disks.NameOf(disk.BaseId) is { } from) yield return from;
        foreach (var (name, clone) in _disks.All)
            if (clone.BaseId == disk.Id) yield return name;
    }

    private Act? Next()
    {
        string any = Pick(_disks.All.Keys, "none"), open = Pick(_disks.All.Where(disk => disk.Value.Host >= 0).Select(disk => disk.Key), "none");
        _disks.All.TryGetValue(any, out var disk);
        bool isOpen = disk is { Host: >= 0 };
        int roll = _random.Next(100);
        if (roll < 48 && open != "none")
        {
            // Often the same one as the last.
            if (_random.Next(2) == 0 && _disks.All.TryGetValue(_lastWritten, out var last) && last.Host >= 0) open = _lastWritten;
            _lastWritten = open;
            return NextData(open);
        }

        switch (roll)
        {
            case < 51 when _disks.All.Count < MaxDisks:
                int objectSize = _kind.Borders || _random.Next(3) > 0 ? ObjectSize : 4096 << _random.Next(4);
                return new Act(XsegOp.Create, NewName(isNew: _random.Next(4) > 0), Count: NewSize(objectSize), ObjectSize: objectSize);
            case < 61 when _disks.All.Count < MaxDisks:
                string from = Pick(_disks.All.Where(one => one.Value.Snapshots.Count > 0).Select(one => one.Key), any);
                disk = _disks.All.GetValueOrDefault(from);
                string snapshot = _random.Next(8) == 0 ? NewSnapshot() : SnapshotOf(disk, orNone: false);
                int size = NewSize(disk?.ObjectSize ?? ObjectSize), least = disk?.Snapshots.GetValueOrDefault(snapshot)?.Sectors ?? 0;
                return new Act(XsegOp.Clone, NewName(isNew: _random.Next(8) > 0), Count: size < least && _random.Next(8) > 0 ? 0 : size, Source: $"{from}@{snapshot}");
            case < 66 when disk != null && disk.Snapshots.Count < MaxSnapshots:
                return new Act(XsegOp.Snapshot, any, Source: NewSnapshot());
            case < 69:
                return isOpen && _random.Next(10) > 0 ? null : new Act(XsegOp.Rollback, any, Source: SnapshotOf(disk, orNone: !isOpen));
            case < 74 when disk != null:
                return new Act(XsegOp.Truncate, any, Count: NewSize(disk.ObjectSize));
            case < 79:
                return new Act(XsegOp.Delete, $"{any}@{SnapshotOf(disk)}");
            case < 82:
                return isOpen && _random.Next(10) > 0 ? null : new Act(XsegOp.Delete, any, Flags: _random.Next(2) == 0 ? RequestFlags.Force : RequestFlags.None);
            case < 84:
                string to = NewName();
                return isOpen || to == any ? null : new Act(XsegOp.Rename, any, Source: to);
            case < 86:
                // What a shrink or a rollback has left counts as a snapshot until it is removed.
                UntilIdle();
                return new Act(XsegOp.Flatten, any);
            case < 96 when disk != null:
                return isOpen && _random.Next(2) == 0 ? null : new Act(isOpen ? XsegOp.Close : XsegOp.Open, any);
            case < 98 when open != "none":
                return new Act(XsegOp.Flush, open);
            default:
                return null;
        }
    }

    private Act NextData(string name)
    {
        var disk = _disks.All[name];
        int size = disk.Head.Sectors, perObject = disk.ObjectSize / Content.Sector;
        int first = _kind.Borders ? HotObject(size, perObject) * perObject + _random.Next(perObject) : _random.Next(size);
        if (first >= size) first = size - 1;
        int count = Math.Min(_random.Next(1, _random.Next(3) == 0 ? 200 : 40), size - first);
        if (_kind.Borders) count = Math.Min(count, 4 * perObject);
        // Whole objects are another way.
        if (_random.Next(3) == 0) (first, count) = (first / perObject * perObject, Math.Min(perObject * (1 + _random.Next(2)), size - first / perObject * perObject));
        // Much more than a sector of a map.
        if (_kind.Borders && _random.Next(12) == 0) count = Math.Min(size - first, 200 * perObject);
        var flags = _random.Next(5) == 0 ? RequestFlags.ForceUnitAccess : RequestFlags.None;
        int roll = _random.Next(8);
        if (_kind.Borders && count > 8 * perObject) roll %= 4;
        return new Act(roll switch { < 2 => XsegOp.Discard, < 4 => XsegOp.WriteZeroes, _ => XsegOp.Write }, name, first, count, Stamp: roll < 4 ? 0 : ++_stamp, Flags: flags);
    }

    /// <summary>An object near a border of the map, or near the end.</summary>
    private int HotObject(int sectors, int perObject)
    {
        int objects = (sectors + perObject - 1) / perObject;
        int near = _random.Next(5) switch { 0 => 2, 1 => objects - 1, _ => s_borders[_random.Next(s_borders.Length)] } + _random.Next(5) - 2;
        return Math.Clamp(near, 0, objects - 1);
    }

    private int NewSize(int objectSize)
    {
        int perObject = objectSize / Content.Sector;
        if (!_kind.Borders) return 1 + _random.Next(MaxObjects * perObject);
        int objects = _random.Next(6) == 0 ? 1 + _random.Next(200) : s_borders[_random.Next(s_borders.Length)] + _random.Next(5) - 2;
        return objects * perObject - (_random.Next(3) == 0 ? _random.Next(perObject) : 0);
    }

    private string NewName(bool isNew = false)
    {
        for (int tries = 0; ; tries++)
            if ("disk" + _random.Next(8) is var name && (!isNew || tries > 20 || !_disks.All.ContainsKey(name))) return name;
    }

    private string NewSnapshot() => "s" + _random.Next(4);

    private string SnapshotOf(Disk? disk, bool orNone = true) => disk != null && (!orNone || _random.Next(4) > 0) ? Pick(disk.Snapshots.Keys, NewSnapshot()) : NewSnapshot();

    private T Pick<T>(IEnumerable<T> from, T otherwise)
    {
        T[] all = [.. from];
        return all.Length == 0 ? otherwise : all[_random.Next(all.Length)];
    }
}
