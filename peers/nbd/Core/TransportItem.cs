using System.Runtime.InteropServices;

namespace Archipelago.Nbd.Core;

/// <summary>
/// What a transport queues for its client: a node of its list, and 128 bytes outside the managed heap for whatever precedes the data
/// on its way (NBD: a reply's header). Objects of this kind live as long as the gateway.
/// </summary>
internal abstract unsafe class TransportItem
{
    /// <summary>Bytes of <see cref="Scratch"/>.</summary>
    internal const int ScratchSize = 128;

    private protected TransportItem() => Scratch = (byte*)NativeMemory.Alloc(ScratchSize);

    internal TransportItem? NextQueued { get; set; }
    internal byte* Scratch { get; }
    internal int ScratchLength { get; set; }
    /// <summary>Bytes that follow the scratch: of a piece its data, of anything else <see cref="Extra"/>.</summary>
    internal uint DataLength { get; set; }
    /// <summary>What follows the scratch and is no piece's data, or null.</summary>
    internal NativeBuffer? Extra { get; set; }
}

/// <summary>4 KiB outside the managed heap, reused.</summary>
internal sealed unsafe class NativeBuffer
{
    internal const int Size = 4096;

    internal byte* Bytes { get; } = (byte*)NativeMemory.Alloc(Size);
}
