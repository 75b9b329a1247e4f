using System.Runtime.CompilerServices;
using Archipelago.Filed.Scheduling;
using Archipelago.Filed.Storage;
using Archipelago.Locks;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg;

namespace Archipelago.Filed;

/// <summary>ACQUIRE and RELEASE, and the gate before changes. Nobody fences a filed of another host, so a lease bounds its writes as well.</summary>
public sealed partial class FiledPeer
{
    private static readonly TimeSpan DrainPoll = TimeSpan.FromMilliseconds(1);
    private LockService _locks = null!;
    private FiledAddress _address = null!;
    // Changes under way, by flow.
    private int[] _changing = [];

    /// <summary>Lets a job do its change while its flow's lock is held, asked again as often as the lease runs out before a thread comes to it.</summary>
    [AsyncMethodBuilder(typeof(PooledBuilder<>))]
    private async ValueTask<int> PerformChange(FileJob job)
    {
        uint flow = job.Request.Flow;
        if (flow >= _changing.Length) return Context.BadRequest();
        _changing[flow]++;
        int status;
        do
        {
            status = 0;
            if (!_locks.Flows.Passes(flow)) status = await _locks.VerifyAsync(flow);
            job.NotAfter = _locks.Flows.PassesUntil(flow);
            if (status == 0) status = await Perform(job);
        }
        while (status == FileJob.TooLate);
        _changing[flow]--;
        return status;
    }

    private async ValueTask<int> RunRecordJob(JobKind kind, byte[] name, byte[]? expected, byte[] fresh)
    {
        if (_pool == null) return XsegErrno.ESHUTDOWN;
        var job = Rent(kind, default);
        (job.Name, job.Expected, job.Fresh) = (name, expected, fresh);
        int status = await Perform(job);
        if (job.Detail != null) Report(job, status);
        Return(job);
        return status;
    }

    private sealed class RecordsInFiles(FiledPeer filed) : LockStore
    {
        public override string? Address { get; } = filed._address.ToString();
        public override bool LeaseBoundsWrites => true;

        public override ValueTask<bool> ReadyAsync() => new(filed._pool != null);

        public override ValueTask<int> ReadAsync(byte[] name, byte[] into) => filed.RunRecordJob(JobKind.ReadRecord, name, null, into);

        public override ValueTask<int> CompareAndSwapAsync(byte[] name, byte[] expected, byte[] fresh) => filed.RunRecordJob(JobKind.SwapRecord, name, expected, fresh);

        public override async ValueTask<int> FenceAsync(string address) => await filed.Context.Reactor.RunBlocking(() => FiledFence.Fence(address, filed._address, filed.Context.Log));

        public override async ValueTask DrainAsync(uint flow)
        {
            while (filed._changing[flow] > 0) await filed.Context.Reactor.Delay(DrainPoll);
        }
    }
}
