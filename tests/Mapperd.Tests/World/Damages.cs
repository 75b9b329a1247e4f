using System.Text;
using Archipelago.Maps;
using Archipelago.Runtime;
using Archipelago.Runtime.Hosting;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

/// <summary>What tests of damage do to a store behind everybody's back.</summary>
internal static class Damages
{
    private const int O = Rig.ObjectSize;

    /// <summary>A volume, disk, with a snapshot, s1, and a chunk of its own in the store; open.</summary>
    internal static World Shared(Rig rig, int objects)
    {
        var world = new World(rig);
        world.Run(Op.Create("disk", objects * O));
        world.OpenForWriting("disk");
        world.Run(Op.Write("disk", 0, Bytes.Of(1, objects * O)));
        world.Run(Op.Snapshot("disk", "s1"));
        world.Run(Op.Write("disk", 0, Bytes.Of(2, 512)));
        return world;
    }

    internal static ulong IdOf(Rig rig, string name) => rig.MapperdNode.Run(async () => (await rig.Mapperd.Volumes.LookAsync(name)).Root!.Id);

    /// <summary>The only object of a kind.</summary>
    internal static string Name(Rig rig, char kind) => rig.Objects().Single(name => name[0] == kind);

    internal static byte[] Sector(Rig rig, string name, ulong offset) => rig.ClientNode.Run(() => rig.Client.Read("blocks", name, 0, offset, 512)).Data;

    /// <summary>Writes an object of the store, past all caches; who has it in memory keeps that.</summary>
    internal static void Set(Rig rig, string name, byte[] bytes, ulong offset = 0) =>
        Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Write("blocks", name, 0, offset, bytes)).Status);

    /// <summary>Deletes an object of the store.</summary>
    internal static void Lose(Rig rig, string name) => Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Do("blocks", XsegOp.Delete, name)).Status);

    /// <summary>Changes a sector of the store, as <see cref="Set"/>.</summary>
    internal static void Alter(Rig rig, string name, ulong offset, Action<byte[]> damage)
    {
        var bytes = Sector(rig, name, offset);
        damage(bytes);
        Set(rig, name, bytes, offset);
    }

    /// <summary>The same, and with successors of mapperd and vlmcd nobody remembers what it was.</summary>
    internal static void Damage(Rig rig, string name, ulong offset, Action<byte[]> damage)
    {
        Alter(rig, name, offset, damage);
        rig.Kill(mapperd: true, vlmcd: true);
    }

    /// <summary>A change that the checksum does not tell.</summary>
    internal static Action<byte[]> Sealed(Action<byte[]> damage) => bytes =>
    {
        damage(bytes);
        Crc32C.Seal(bytes);
    };

    /// <summary>What another host does that opens a volume, for a minute.</summary>
    internal static void LockElsewhere(Rig rig, ulong id) => Assert.Equal(0, AskElsewhere(rig, XsegOp.Acquire, id));

    /// <summary>It closes the volume again.</summary>
    internal static void UnlockElsewhere(Rig rig, ulong id) => Assert.Equal(0, AskElsewhere(rig, XsegOp.Release, id));

    private static int AskElsewhere(Rig rig, XsegOp op, ulong id) => rig.ClientNode.Run(async () =>
    {
        var cookie = new byte[64];
        cookie[0] = 7;
        var io = new ObjectIo(rig.Client.Context, rig.Client.Context.OpenRoute("blocks"), 0);
        return (await io.RunAsync(op, 0, Encoding.ASCII.GetBytes($"l.{id:x16}"), 0, 60_000_000_000, RequestFlags.NoSync, "other host"u8.ToArray(), cookie)).Status;
    });

    internal static ErrnoException Refusal(Action action)
    {
        var refused = Record.Exception(action);
        return Assert.IsType<ErrnoException>(refused is AggregateException wrapped ? wrapped.InnerException : refused);
    }
}
