using System.Text;
using Archipelago.Maps;
using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

/// <summary>A request of a gateway, as the model knows it.</summary>
internal sealed record Op(XsegOp Code, string Name, ulong Offset = 0, ulong Length = 0, string? Source = null, byte[]? Data = null, RequestFlags Flags = RequestFlags.None)
{
    internal static Op Create(string name, int size) => new(XsegOp.Create, name, 0, (ulong)size);
    /// <summary>CREATE from a list of names of <see cref="Sources"/>; empty for a hole.</summary>
    internal static Op Assemble(string name, string[] objects, int size)
    {
        byte[] list = new SourceList { Size = (ulong)size, Names = [.. objects.Select(one => (ReadOnlyMemory<byte>)Encoding.UTF8.GetBytes(one))] }.ToBytes();
        return new Op(XsegOp.Create, name, 0, (ulong)list.Length, Data: list, Flags: RequestFlags.List);
    }

    /// <summary>Objects that are none of a volume's.</summary>
    internal static readonly Dictionary<string, byte[]> Sources = new()
    {
        ["x1"] = Bytes.Of(100, Rig.ObjectSize),
        ["x2"] = Bytes.Of(101, Rig.ObjectSize),
        ["xs"] = Bytes.Of(102, 1000),
        ["x with spaces/ü"] = Bytes.Of(103, 2048),
        ["xl"] = Bytes.Of(104, Rig.ObjectSize + 1),
    };

    internal static void WriteSources(Rig rig)
    {
        foreach (var (name, bytes) in Sources) Assert.Equal(0, rig.ClientNode.Run(() => rig.Client.Write("blocks", name, 0, 0, bytes, RequestFlags.ForceUnitAccess)).Status);
    }

    /// <summary>What a volume of that list holds.</summary>
    internal byte[] Assembled()
    {
        var list = SourceList.Parse(Data);
        var bytes = new byte[list.Size == 0 ? list.Names.Count * Rig.ObjectSize : (int)list.Size];
        for (int i = 0; i < list.Names.Count; i++)
            if (!list.Names[i].IsEmpty) Sources[Encoding.UTF8.GetString(list.Names[i].Span)].CopyTo(bytes, i * Rig.ObjectSize);
        return bytes;
    }

    internal static Op CloneOf(string name, string from, int size = 0) => new(XsegOp.Clone, name, 0, (ulong)size, from);
    internal static Op Snapshot(string name, string snapshot) => new(XsegOp.Snapshot, name, Source: snapshot);
    internal static Op Rollback(string name, string snapshot) => new(XsegOp.Rollback, name, Source: snapshot);
    internal static Op Resize(string name, int size) => new(XsegOp.Truncate, name, 0, (ulong)size);
    internal static Op Delete(string name, bool force = false) => new(XsegOp.Delete, name, Flags: force ? RequestFlags.Force : RequestFlags.None);
    internal static Op Rename(string name, string to) => new(XsegOp.Rename, name, Source: to);
    internal static Op Flatten(string name) => new(XsegOp.Flatten, name);
    internal static Op Write(string name, int offset, byte[] data, RequestFlags flags = RequestFlags.None) => new(XsegOp.Write, name, (ulong)offset, (ulong)data.Length, Data: data, Flags: flags);
    internal static Op Zero(string name, int offset, int length, bool discard) => new(discard ? XsegOp.Discard : XsegOp.WriteZeroes, name, (ulong)offset, (ulong)length);

    /// <summary>Changes content, not structure.</summary>
    internal bool IsData => Code is XsegOp.Write or XsegOp.Discard or XsegOp.WriteZeroes;

    public override string ToString() => $"{Code} {Name} {Source} {Offset}+{Length} {Flags}";
}
