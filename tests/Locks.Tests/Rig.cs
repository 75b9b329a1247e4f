using System.Text;

namespace Archipelago.Locks.Tests;

/// <summary>Short ways to ask.</summary>
internal static class Rig
{
    internal const ulong Id = 0x00112233445566aa;
    internal const string Name = "l.00112233445566aa";
    internal const ulong Lease = 10 * World.Second;
    internal static readonly byte[] Alice = Cookie(1), Bob = Cookie(2), Carol = Cookie(3);

    internal static LockAsk Ask(byte[] cookie, ulong lease = Lease, uint flow = 1, bool force = false, bool replayed = false) =>
        new(Encoding.ASCII.GetBytes(Name), cookie) { Owner = $"owner {cookie[0]}", Lease = lease, Flow = flow, Force = force, Replayed = replayed };

    internal static (int Status, ulong Epoch) Acquire(this FakeBlocker by, LockAsk ask) => Done(by.Protocol.AcquireAsync(ask));

    internal static int Release(this FakeBlocker by, LockAsk ask) => Done(by.Protocol.ReleaseAsync(ask));

    internal static int Verify(this FakeBlocker by, uint flow) => Done(by.Protocol.VerifyAsync(flow));

    /// <summary>The flow's next change: through the gate, or what it is answered.</summary>
    internal static int Change(this FakeBlocker by, uint flow)
    {
        if (by.Flows.Passes(flow)) return 0;
        int status = by.Verify(flow);
        Assert.Equal(status == 0, by.Flows.Passes(flow));
        return status;
    }

    private static byte[] Cookie(int of) => [(byte)of, .. Enumerable.Repeat((byte)0x77, LockRecord.CookieSize - 1)];

    private static T Done<T>(ValueTask<T> task)
    {
        // Nothing waits in these tests.
        Assert.True(task.IsCompleted);
        return task.GetAwaiter().GetResult();
    }
}
