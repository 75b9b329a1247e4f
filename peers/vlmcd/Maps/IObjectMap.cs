using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Vlmcd.Maps;

/// <summary>What a part of a volume is wanted for.</summary>
public enum ObjectAccess
{
    /// <summary>To be read, or looked up.</summary>
    Read,
    /// <summary>To be changed in place.</summary>
    Write,
    /// <summary>To be made zeros, all of it: nothing of the old content matters.</summary>
    Drop,
    /// <summary>To be overwritten with zeros, all of it: as <see cref="Write"/>, but nothing is copied for it.</summary>
    Zero,
}

/// <summary>Where a part of a volume lives. The name is valid until the map is asked again.</summary>
public ref struct ObjectTarget
{
    /// <summary>Name of the object.</summary>
    public ReadOnlySpan<byte> Name;
    /// <summary>Hash of the name.</summary>
    public Hash128 Hash;
    /// <summary>Flags that the request to it must carry: MustExist where the map says that the object exists, Shared where it never changes again.</summary>
    public RequestFlags Flags;
    /// <summary>Reads as zeros without an object being asked.</summary>
    public bool IsHole;
    /// <summary>The object may be deleted to make it zeros: nothing older shows through.</summary>
    public bool MayDelete;
    /// <summary>The object may move to another layer, and be deleted in this one: a READ of it is announced, and its end.</summary>
    public bool MayMove;
    /// <summary>Not 0: the map does not know, this part of it is damaged.</summary>
    public int Errno;
}

/// <summary>
/// The step "which object?": from the index of a part of a volume (offset / object size) to the object that holds it. One per loaded
/// volume, on one reactor; the data path asks for every part of every request, so that the answer costs no allocation, and no hash of
/// the name.
/// </summary>
public interface IObjectMap
{
    /// <summary>
    /// Answers at once if it can. False if something must be done first (a chunk of the map loaded, an object copied up): then
    /// <see cref="PrepareAsync"/> does it, and this is asked again.
    /// </summary>
    bool TryFind(ulong index, ObjectAccess access, out ObjectTarget target);

    /// <summary>
    /// Does what <see cref="TryFind"/> lacked, as part of <paramref name="parent"/>; 0 or a positive errno. For writes, what it wrote
    /// is stable when it is done: a durable map never points to an object that is not.
    /// </summary>
    ValueTask<int> PrepareAsync(ulong index, ObjectAccess access, Request parent);

    /// <summary>The volume has another size, or writes to another layer: what is known of the map may be out of date. No request is under way.</summary>
    /// <param name="objects">Objects of the volume.</param>
    /// <param name="layer">The own layer; 0 for none.</param>
    /// <param name="isKnown">Only these have changed: what is known of entries holds.</param>
    void Change(ulong objects, ulong layer, bool isKnown);

    /// <summary>
    /// An object that the map had named was not there. 0: it is a hole, for the map, read again since, still names it; EAGAIN: the map names another one by now; or a
    /// positive errno: nobody knows what was there. For who only reads, as others may remove what he reads, and for objects that may move.
    /// </summary>
    /// <param name="index">The part of the volume.</param>
    /// <param name="layer">Layer of the object that was not there.</param>
    ValueTask<int> ConfirmHoleAsync(ulong index, ulong layer) => new(0);

    /// <summary>True if objects of a layer may move to the own one, and be deleted, without this map being told at once.</summary>
    bool MayMove(ulong layer) => false;

    /// <summary>A READ of an object that may move is about to be sent: the object stays where it is until <see cref="EndRead"/>.</summary>
    void BeginRead(ulong index)
    {
    }

    /// <summary>A READ has been answered.</summary>
    void EndRead(ulong index)
    {
    }
}
