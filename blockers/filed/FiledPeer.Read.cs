using System.Runtime.CompilerServices;
using Archipelago.Filed.Native;
using Archipelago.Filed.Scheduling;
using Archipelago.Filed.Storage;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Filed;

/// <summary>READ: into the issuer's pages, or into pages that are lent; what the page cache holds is answered at once.</summary>
public sealed partial class FiledPeer
{
    private const ulong LargestAtOnce = 64 << 10;
    private static readonly TimeSpan PageRetry = TimeSpan.FromMilliseconds(1);

    private ValueTask<int> Read(in Request request)
    {
        if (!Fits(request.Offset, request.Length)) return new ValueTask<int>(XsegErrno.EFBIG);
        if (_pool == null) return new ValueTask<int>(XsegErrno.ESHUTDOWN);
        if (!request.TryData(out var data) || data.Count != Request.PagesFor(request.Offset, request.Length)) return new ValueTask<int>(Context.BadRequest());
        if (!TryFind(request, out var target)) return new ValueTask<int>(request.Target.IsEmpty ? XsegErrno.EINVAL : Context.BadRequest());
        var job = Rent(JobKind.Request, request);
        job.Object = target;
        if (!data.HasPages && data.Count > 0)
        {
            // Before the read: which pages will turn out to be zeros is not known yet.
            job.WantPages(data.Count);
            if (!TryTakePages(job)) return ReadWhenPagesAreFree(job);
        }

        if (options.ReadAtOnce && !options.Direct && !options.Shared && target.Fd >= 0 && request.Length <= LargestAtOnce && !Hold.BlocksRead(target, request.Offset, request.Length))
        {
            int status = _atOnce.Read(job, target.Fd, Libc.RWF_NOWAIT);
            if (status != XsegErrno.EAGAIN)
            {
                status = Answer(job, status);
                if (job.NotTrusted) Context.Port.CountBadRequest();
                _objects.Touch(target);
                Return(job);
                return new ValueTask<int>(status);
            }
        }

        Enter(job, target, HoldKind.Read, request.Offset, request.Length);
        return ReadFromFile(job);
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> ReadFromFile(FileJob job)
    {
        int status = await Perform(job);
        status = Answer(job, Conclude(job, status));
        Return(job);
        return status;
    }

    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> ReadWhenPagesAreFree(FileJob job)
    {
        var target = job.Object!;
        // Entered now, so that the object is not forgotten meanwhile; only earlier requests are waited for.
        Enter(job, target, HoldKind.Read, job.Request.Offset, job.Request.Length);
        while (!TryTakePages(job))
        {
            if (Context.Port.Pages.Count + Context.Port.Limbo.Count + _pagesReading < job.PageCount)
            {
                job.PageCount = 0;
                Leave(job);
                Return(job);
                return XsegErrno.ENOMEM;
            }

            await Context.Reactor.Delay(PageRetry);
        }

        int status = await Perform(job);
        status = Answer(job, Conclude(job, status));
        Return(job);
        return status;
    }

    private int _pagesReading;

    private bool TryTakePages(FileJob job)
    {
        var (pages, limbo) = (Context.Port.Pages, Context.Port.Limbo);
        int count = job.PageCount;
        if (pages.Count < count) limbo.Drain();
        if (pages.Count < count) limbo.DrainPastSlowReaders();
        if (pages.Count < count) return false;
        uint flow = job.Request.Flow;
        for (int i = 0; i < count; i++)
        {
            if (pages.TryLend(flow, out job.Pages[i])) continue;
            // The count is a hint; a page that a faulty peer took from the share is simply not there.
            while (--i >= 0) pages.Give(job.Pages[i].Page);
            return false;
        }

        _pagesReading += count;
        return true;
    }

    /// <summary>Lends what was read; pages that are zeros, or that nobody may see, go back to the share.</summary>
    private int Answer(FileJob job, int status)
    {
        var request = job.Request;
        if (job.Missing) request.Reply = ReplyFlags.Missing;
        if (status == 0) request.Serviced = job.Serviced;
        int count = job.PageCount;
        if (count == 0) return status;
        _pagesReading -= count;
        if (!request.TryData(out var data) || data.Count != count) status = status == 0 ? Context.BadRequest() : status;
        for (int i = 0; i < count; i++)
        {
            var page = job.Pages[i];
            bool lent = status == 0 && !job.Zero[i];
            if (status == 0 && !data.Set(i, lent ? page : Extent.Zero))
            {
                status = Context.BadRequest();
                lent = false;
            }

            // In limbo until no request can name it.
            if (lent) Context.Port.Limbo.Add(page.Page);
            else Context.Port.Pages.Give(page.Page);
        }

        return status;
    }
}
