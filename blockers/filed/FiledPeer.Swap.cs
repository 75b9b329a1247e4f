using Archipelago.Filed.Scheduling;
using Archipelago.Filed.Work;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Filed;

/// <summary>WRITE with COMPARE: a write of half its length, which nobody else's write comes in between.</summary>
public sealed partial class FiledPeer
{
    private ValueTask<int> Swap(in Request request)
    {
        // What is bad is refused here, before the range is held for it; the copy is made when it is its turn.
        ulong length = request.Length;
        int status = SwapData.Check(request, FileWorker.MaxObject);
        return status != 0 ? new ValueTask<int>(status) : Run(request, HoldKind.Write, request.Offset, length / 2);
    }
}
