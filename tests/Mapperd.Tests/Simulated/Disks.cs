using System.Collections.Immutable;
using Archipelago.Runtime;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests.Simulated;

/// <summary>A request as the model knows it; offsets and sizes in sectors.</summary>
internal sealed record Act(XsegOp Code, string Name, int First = 0, int Count = 0, string? Source = null, ulong Stamp = 0, RequestFlags Flags = RequestFlags.None, int ObjectSize = 0)
{
    internal bool IsData => Code is XsegOp.Write or XsegOp.Discard or XsegOp.WriteZeroes;
    internal string Volume => Name.Split('@')[0];

    public override string ToString() => $"{Code} {Name} {Source} {First}+{Count} {Stamp} {Flags}";
}

/// <summary>A volume of the model.</summary>
/// <param name="Id">Never used again.</param>
/// <param name="Head">What it holds.</param>
/// <param name="ObjectSize">Bytes of an object.</param>
/// <param name="Host">Who has it open for writing, or -1.</param>
internal sealed record Disk(int Id, Content Head, int ObjectSize, int Host = -1)
{
    internal ImmutableSortedDictionary<string, Content> Snapshots { get; init; } = ImmutableSortedDictionary.Create<string, Content>(StringComparer.Ordinal);
    /// <summary>What the head was since it was last known to be stable: of each sector any of them may be left after a loss of power.</summary>
    internal ImmutableList<Content> Older { get; init; } = [];
    internal int BaseId { get; init; }
    internal string? BaseSnapshot { get; init; }
}

/// <summary>What the store should hold. Never changed in place.</summary>
internal sealed record Disks(ImmutableSortedDictionary<string, Disk> All, int NextId = 1)
{
    internal static Disks None { get; } = new(ImmutableSortedDictionary.Create<string, Disk>(StringComparer.Ordinal));

    /// <summary>Carries an act out, or says with which errno it is to be refused.</summary>
    internal (Disks After, int Status) Apply(Act act, int host)
    {
        if (act.Code is XsegOp.Create or XsegOp.Clone) return Make(act);
        int at = act.Name.IndexOf('@');
        string name = act.Volume;
        if (!All.TryGetValue(name, out var disk)) return (this, Errno.ENOENT);
        if (disk.Host >= 0 && disk.Host != host) return (this, Errno.EBUSY);
        bool isOpen = disk.Host >= 0;
        switch (act.Code)
        {
            case XsegOp.Open:
                return Put(name, disk with { Host = host });
            case XsegOp.Close:
                return Put(name, disk with { Host = -1, Older = [] });
            case XsegOp.Flush:
                return Put(name, disk with { Older = [] });
            case XsegOp.Write or XsegOp.Discard or XsegOp.WriteZeroes:
                var older = disk.Older.Add(disk.Head);
                if ((act.Flags & RequestFlags.ForceUnitAccess) != 0) older = [.. older.Select(content => content.With(act.First, act.Count, act.Stamp))];
                return Put(name, disk with { Head = disk.Head.With(act.First, act.Count, act.Stamp), Older = older });
            case XsegOp.Truncate:
                return Put(name, disk with { Head = disk.Head.Resized(act.Count), Older = [.. disk.Older.Select(content => content.Resized(act.Count))] });
            case XsegOp.Snapshot:
                return disk.Snapshots.ContainsKey(act.Source!) ? (this, Errno.EEXIST) : Put(name, disk with { Snapshots = disk.Snapshots.Add(act.Source!, disk.Head), Older = [] });
            case XsegOp.Rollback:
                if (isOpen) return (this, Errno.EBUSY);
                return disk.Snapshots.TryGetValue(act.Source!, out var kept) ? Put(name, disk with { Head = kept }) : (this, Errno.ENOENT);
            case XsegOp.Rename:
                if (isOpen) return (this, Errno.EBUSY);
                if (All.ContainsKey(act.Source!)) return (this, Errno.EEXIST);
                return (this with { All = All.Remove(name).Add(act.Source!, disk) }, 0);
            case XsegOp.Flatten:
                if (disk.BaseId == 0) return (this, 0);
                return disk.Snapshots.Count > 0 ? (this, Errno.EBUSY) : Put(name, disk with { BaseId = 0, BaseSnapshot = null });
            case XsegOp.Delete when at >= 0:
                string snapshot = act.Name[(at + 1)..];
                if (!disk.Snapshots.ContainsKey(snapshot)) return (this, Errno.ENOENT);
                return HasClones(disk, snapshot) ? (this, Errno.EBUSY) : Put(name, disk with { Snapshots = disk.Snapshots.Remove(snapshot) });
            case XsegOp.Delete:
                if (isOpen || (disk.Snapshots.Count > 0 && (act.Flags & RequestFlags.Force) == 0) || disk.Snapshots.Keys.Any(one => HasClones(disk, one))) return (this, Errno.EBUSY);
                return (this with { All = All.Remove(name) }, 0);
            default:
                throw new InvalidOperationException(act.ToString());
        }
    }

    internal bool HasClones(Disk disk, string snapshot) => All.Values.Any(clone => clone.BaseId == disk.Id && clone.BaseSnapshot == snapshot);

    internal string? NameOf(int id) => All.FirstOrDefault(disk => disk.Value.Id == id).Key;

    internal Disks With(string name, Disk disk) => this with { All = All.SetItem(name, disk) };

    private (Disks, int) Put(string name, Disk disk) => (With(name, disk), 0);

    private (Disks, int) Make(Act act)
    {
        var made = new Disk(NextId, Content.Zeros(act.Count), act.ObjectSize);
        if (act.Code == XsegOp.Clone)
        {
            var parts = act.Source!.Split('@');
            if (!All.TryGetValue(parts[0], out var from) || !from.Snapshots.TryGetValue(parts[1], out var kept)) return (this, Errno.ENOENT);
            if (act.Count != 0 && act.Count < kept.Sectors) return (this, Errno.EINVAL);
            made = new Disk(NextId, kept.Resized(Math.Max(act.Count, kept.Sectors)), from.ObjectSize) { BaseId = from.Id, BaseSnapshot = parts[1] };
        }

        if (All.ContainsKey(act.Name)) return (this, Errno.EEXIST);
        return (this with { All = All.Add(act.Name, made), NextId = NextId + 1 }, 0);
    }
}
