using Archipelago.Xseg;

namespace Archipelago.Mapperd.Tests;

/// <summary>A request of a gateway, as the model knows it.</summary>
internal sealed record Op(XsegOp Code, string Name, ulong Offset = 0, ulong Length = 0, string? Source = null, byte[]? Data = null, RequestFlags Flags = RequestFlags.None)
{
    internal static Op Create(string name, int size) => new(XsegOp.Create, name, 0, (ulong)size);
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
