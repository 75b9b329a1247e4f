using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

/// <summary>What there is before each operation is cut off, and the operations.</summary>
internal static class Scenarios
{
    private const int O = Rig.ObjectSize;

    /// <summary>The operation, and the volumes that are open then.</summary>
    internal static readonly SortedDictionary<string, (Op Op, string[] Open)> All = new(StringComparer.Ordinal)
    {
        ["create"] = (Op.Create("new", 5 * O), []),
        ["create from objects"] = (Op.Assemble("new", ["x1", "", "x2", "xs", "x1"], 6 * O - 512), []),
        ["clone"] = (Op.CloneOf("new", "base@s1"), ["base"]),
        ["clone larger"] = (Op.CloneOf("new", "clone@c1", 12 * O), []),
        ["snapshot closed"] = (Op.Snapshot("base", "s3"), []),
        ["snapshot open"] = (Op.Snapshot("base", "s3"), ["base", "clone"]),
        ["snapshot of a clone"] = (Op.Snapshot("clone", "c2"), ["clone"]),
        ["rollback"] = (Op.Rollback("base", "s1"), ["clone"]),
        ["rollback of a clone"] = (Op.Rollback("clone", "c1"), []),
        ["grow"] = (Op.Resize("base", 9 * O), ["base"]),
        ["shrink"] = (Op.Resize("base", 2 * O + 1536), ["base"]),
        ["shrink of a clone"] = (Op.Resize("clone", 2 * O + 1536), []),
        ["delete snapshot"] = (Op.Delete("base@s2"), ["base"]),
        ["delete first snapshot"] = (Op.Delete("lone@l1"), []),
        ["delete volume"] = (Op.Delete("grand"), ["clone"]),
        ["delete volume with snapshots"] = (Op.Delete("lone", force: true), []),
        ["flatten"] = (Op.Flatten("grand"), ["grand"]),
        ["rename"] = (Op.Rename("clone", "renamed"), ["base"]),
        ["copy-up"] = (Op.Write("clone", O + 512, Bytes.Of(77, 2 * O)), ["clone"]),
        ["copy-up stable"] = (Op.Write("clone", O + 512, Bytes.Of(78, 2 * O), RequestFlags.ForceUnitAccess), ["clone"]),
        ["copy-up, first of the layer"] = (Op.Write("grand", 512, Bytes.Of(79, 1024)), ["grand"]),
        ["discard of shared objects"] = (Op.Zero("clone", 512, 4 * O, discard: true), ["clone"]),
        ["discard of own objects"] = (Op.Zero("base", 512, 4 * O, discard: true), ["base"]),
        ["write zeroes"] = (Op.Zero("grand", 0, 3 * O, discard: false), ["grand"]),
    };

    /// <summary>
    /// base (s1, s2) with a clone of s1 (c1), which has a clone, grand, that has shared everything; lone (l1, l2) with a history of a shrink and a rollback. All closed.
    /// </summary>
    internal static World Family(Rig rig)
    {
        var world = new World(rig);
        Op.WriteSources(rig);
        world.Run(Op.Create("base", 6 * O - 512));
        world.OpenForWriting("base");
        world.Run(Op.Write("base", 0, Bytes.Of(1, 5 * O)));
        world.Run(Op.Snapshot("base", "s1"));
        world.Run(Op.Write("base", O, Bytes.Of(2, 2 * O - 512)));
        world.Run(Op.Snapshot("base", "s2"));
        world.Run(Op.Write("base", 2 * O, Bytes.Of(3, 3 * O)));
        world.Close("base");
        world.Run(Op.CloneOf("clone", "base@s1", 7 * O));
        world.OpenForWriting("clone");
        world.Run(Op.Write("clone", 512, Bytes.Of(4, O)));
        world.Run(Op.Snapshot("clone", "c1"));
        world.Run(Op.Write("clone", 4 * O, Bytes.Of(5, 2 * O + 512)));
        world.Close("clone");
        world.Run(Op.CloneOf("grand", "clone@c1"));
        world.Run(Op.Create("lone", 4 * O));
        world.OpenForWriting("lone");
        world.Run(Op.Write("lone", 0, Bytes.Of(6, 4 * O)));
        world.Run(Op.Snapshot("lone", "l1"));
        world.Run(Op.Write("lone", O, Bytes.Of(7, O)));
        world.Run(Op.Resize("lone", 3 * O - 1024));
        world.Run(Op.Snapshot("lone", "l2"));
        world.Run(Op.Write("lone", 0, Bytes.Of(8, 512)));
        world.Close("lone");
        return world;
    }
}
