using Archipelago.Filed.Storage;

namespace Archipelago.Filed;

/// <summary>The process of a filed that has a lock, for those who are about to break it.</summary>
public static class FiledProcess
{
    /// <summary>
    /// The process that lives and can be killed from here, to which the address of a lock's holder belongs: it is killed when the lock is broken. Null if there is none, or the
    /// address is none of a filed.
    /// </summary>
    public static int? AliveAt(string address) =>
        FiledAddress.Parse(address) is { } holder && holder.IsVisibleTo(FiledAddress.Here()) && FiledAddress.StartOf(holder.Process) == holder.Start ? holder.Process : null;
}
