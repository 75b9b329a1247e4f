using Archipelago.Filed.Scheduling;
using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;

namespace Archipelago.Filed;

/// <summary>READ with LIST: the directories are read by an I/O thread.</summary>
public sealed partial class FiledPeer
{
    private async ValueTask<int> ListAsync(Request request)
    {
        if (_pool == null) return XsegErrno.ESHUTDOWN;
        int status = NameListing.TryBegin(request, out var names);
        if (status != 0) return status;
        var job = Rent(JobKind.List, request);
        job.Names = names;
        status = await Perform(job);
        if (job.Detail != null) Report(job, status);
        if (status == 0) status = await names.AnswerAsync(new Lender(Context), request);
        Return(job);
        return status;
    }
}
