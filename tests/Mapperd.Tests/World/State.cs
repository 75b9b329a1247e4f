using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

/// <summary>What the store should hold, in memory: all content of all volumes and snapshots.</summary>
internal sealed class State
{
    private int _nextId = 1;

    internal sealed record Version(byte[] Data);

    internal sealed record Disk(int Id, byte[] Data, SortedDictionary<string, byte[]> Snapshots, int BaseId = 0, string? BaseSnapshot = null);

    internal SortedDictionary<string, Disk> Disks { get; } = new(StringComparer.Ordinal);

    /// <summary>Arrays are never changed in place: a copy shares them.</summary>
    internal State Copy()
    {
        var copy = new State { _nextId = _nextId };
        foreach (var (name, disk) in Disks) copy.Disks.Add(name, disk with { Snapshots = new SortedDictionary<string, byte[]>(disk.Snapshots, StringComparer.Ordinal) });
        return copy;
    }

    /// <summary>Carries an op out, or says with which errno it is to be refused. What is open is the caller's matter.</summary>
    internal int Apply(Op op)
    {
        int at = op.Name.IndexOf('@');
        string name = at < 0 ? op.Name : op.Name[..at];
        if (op.Code is XsegOp.Create or XsegOp.Clone) return Make(op);
        if (!Disks.TryGetValue(name, out var disk)) return Errno.ENOENT;
        switch (op.Code)
        {
            case XsegOp.Write or XsegOp.Discard or XsegOp.WriteZeroes:
                var data = (byte[])disk.Data.Clone();
                if (op.Data != null) op.Data.CopyTo(data, (int)op.Offset);
                else Array.Clear(data, (int)op.Offset, (int)op.Length);
                Disks[name] = disk with { Data = data };
                return 0;
            case XsegOp.Truncate:
                var sized = new byte[op.Length];
                disk.Data.AsSpan(0, Math.Min(sized.Length, disk.Data.Length)).CopyTo(sized);
                Disks[name] = disk with { Data = sized };
                return 0;
            case XsegOp.Snapshot:
                return disk.Snapshots.TryAdd(op.Source!, disk.Data) ? 0 : Errno.EEXIST;
            case XsegOp.Rollback:
                if (!disk.Snapshots.TryGetValue(op.Source!, out var kept)) return Errno.ENOENT;
                Disks[name] = disk with { Data = kept };
                return 0;
            case XsegOp.Rename:
                if (op.Source == name) return Errno.EINVAL;
                if (Disks.ContainsKey(op.Source!)) return Errno.EEXIST;
                Disks.Remove(name);
                Disks.Add(op.Source!, disk);
                return 0;
            case XsegOp.Flatten:
                if (disk.BaseId == 0) return 0;
                if (disk.Snapshots.Count > 0) return Errno.EBUSY;
                Disks[name] = disk with { BaseId = 0, BaseSnapshot = null };
                return 0;
            case XsegOp.Delete when at >= 0:
                string snapshot = op.Name[(at + 1)..];
                if (!disk.Snapshots.ContainsKey(snapshot)) return Errno.ENOENT;
                if (HasClones(disk, snapshot)) return Errno.EBUSY;
                disk.Snapshots.Remove(snapshot);
                return 0;
            case XsegOp.Delete:
                if (disk.Snapshots.Count > 0 && (op.Flags & RequestFlags.Force) == 0) return Errno.EBUSY;
                if (disk.Snapshots.Keys.Any(one => HasClones(disk, one))) return Errno.EBUSY;
                Disks.Remove(name);
                return 0;
            default:
                throw new InvalidOperationException(op.ToString());
        }
    }

    internal bool HasClones(Disk disk, string snapshot) => Disks.Values.Any(clone => clone.BaseId == disk.Id && clone.BaseSnapshot == snapshot);

    private int Make(Op op)
    {
        byte[] data = (op.Flags & RequestFlags.List) != 0 ? op.Assembled() : new byte[op.Length];
        Disk? from = null;
        string? snapshot = null;
        if (op.Code == XsegOp.Clone)
        {
            var parts = op.Source!.Split('@');
            if (!Disks.TryGetValue(parts[0], out from) || !from.Snapshots.TryGetValue(snapshot = parts[1], out var kept)) return Errno.ENOENT;
            if (op.Length == 0) data = new byte[kept.Length];
            if (data.Length < kept.Length) return Errno.EINVAL;
            kept.CopyTo(data, 0);
        }

        if (Disks.ContainsKey(op.Name)) return Errno.EEXIST;
        Disks.Add(op.Name, new Disk(_nextId++, data, new SortedDictionary<string, byte[]>(StringComparer.Ordinal), from?.Id ?? 0, snapshot));
        return 0;
    }
}
