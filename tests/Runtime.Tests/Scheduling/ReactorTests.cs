using System.IO.Pipes;
using Archipelago.Runtime.Scheduling;

namespace Archipelago.Runtime.Tests.Scheduling;

public sealed class ReactorTests : IDisposable
{
    private readonly Reactor _reactor = new(new ReactorOptions { Name = "test", MaximumSpin = TimeSpan.FromMicroseconds(20) });
    private readonly Thread _thread;

    public ReactorTests()
    {
        _thread = new Thread(_reactor.Run) { IsBackground = true };
        _thread.Start();
    }

    public void Dispose()
    {
        _reactor.Stop();
        _thread.Join();
        _reactor.Dispose();
    }

    [Fact]
    public void Work_from_many_threads_runs_once_each_and_in_order_per_thread()
    {
        const int Threads = 4, Each = 5000;
        var seen = new int[Threads];
        int wrong = 0;
        using var done = new CountdownEvent(Threads * Each);
        var threads = Enumerable.Range(0, Threads).Select(t => new Thread(() =>
        {
            for (int i = 0; i < Each; i++)
            {
                int number = i;
                _reactor.Post(_ =>
                {
                    if (seen[t]++ != number || Thread.CurrentThread != _thread) wrong++;
                    done.Signal();
                }, null);
                // Lets the reactor park now and then.
                if (i % 500 == 0) Thread.Sleep(1);
            }
        })).ToList();
        threads.ForEach(thread => thread.Start());
        Assert.True(done.Wait(TimeSpan.FromSeconds(60)));
        Assert.Equal(0, wrong);
        Assert.All(seen, count => Assert.Equal(Each, count));
    }

    [Fact]
    public void A_parked_reactor_is_woken_by_a_post()
    {
        // A lost wake-up costs the longest sleep, a second: in every round that would be more than the patience below.
        const int Rounds = 300;
        long parked = 0;
        var started = _reactor.Clock.MonotonicNanoseconds;
        for (int i = 0; i < Rounds; i++)
        {
            Assert.True(SpinWait.SpinUntil(() => _reactor.Parks > parked, TimeSpan.FromSeconds(60)));
            parked = _reactor.Parks;
            using var ran = new ManualResetEventSlim();
            _reactor.Post(_ => ran.Set(), null);
            Assert.True(ran.Wait(TimeSpan.FromSeconds(60)));
        }

        Assert.True(_reactor.Clock.MonotonicNanoseconds - started < 60_000_000_000);
    }

    [Fact]
    public async Task Delays_and_blocking_work_come_back_to_the_reactor()
    {
        var places = new List<bool>();
        await On(async () =>
        {
            long before = _reactor.Clock.MonotonicNanoseconds;
            await _reactor.Delay(TimeSpan.FromMilliseconds(5));
            places.Add(_reactor.Clock.MonotonicNanoseconds - before >= 5_000_000);
            places.Add(Thread.CurrentThread == _thread);
            bool elsewhere = await _reactor.RunBlocking(() => Thread.CurrentThread != _thread);
            places.Add(elsewhere);
            places.Add(Thread.CurrentThread == _thread);
        });
        Assert.Equal([true, true, true, true], places);
    }

    [Fact]
    public async Task Timers_fire_on_the_reactor_once_and_not_before_their_time()
    {
        var fired = new List<(int Id, bool InTime)>();
        await On(async () =>
        {
            long now = _reactor.Now;
            for (int id = 0; id < 5; id++)
            {
                int number = id;
                long due = now + (5 - id) * 1_000_000;
                _reactor.Schedule(due, _ => fired.Add((number, _reactor.Clock.MonotonicNanoseconds >= due)), null);
            }

            _reactor.Cancel(_reactor.Schedule(now + 2_500_000, _ => fired.Add((99, true)), null));
            await _reactor.Delay(TimeSpan.FromMilliseconds(20));
        });
        Assert.Equal([4, 3, 2, 1, 0], fired.Select(f => f.Id));
        Assert.All(fired, f => Assert.True(f.InTime));
    }

    [Fact]
    public async Task A_descriptor_that_becomes_ready_is_told_until_it_is_no_longer_watched()
    {
        using var pipe = new AnonymousPipeServerStream(PipeDirection.In);
        using var writer = new AnonymousPipeClientStream(PipeDirection.Out, pipe.ClientSafePipeHandle);
        var handler = new CountingHandler(pipe);
        IoWatch? watch = null;
        await On(() =>
        {
            watch = _reactor.Watch((int)pipe.SafePipeHandle.DangerousGetHandle(), IoEvents.Read, handler);
            return Task.CompletedTask;
        });
        for (byte i = 1; i <= 3; i++)
        {
            writer.WriteByte(i);
            Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref handler.Last) == i, TimeSpan.FromSeconds(60)));
        }

        await On(() =>
        {
            watch!.Dispose();
            watch.Dispose();
            return Task.CompletedTask;
        });
        writer.WriteByte(4);
        // Two rounds later it would have been seen.
        await On(async () => await _reactor.Delay(TimeSpan.FromMilliseconds(2)));
        Assert.Equal(3, handler.Last);
    }

    [Fact]
    public async Task Pollers_are_asked_before_the_reactor_parks()
    {
        var poller = new StubbornPoller();
        await On(() =>
        {
            _reactor.Add(poller);
            return Task.CompletedTask;
        });
        // One that says that there is work keeps the reactor awake.
        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref poller.Refusals) > 100, TimeSpan.FromSeconds(60)));
        await On(() =>
        {
            _reactor.Remove(poller);
            return Task.CompletedTask;
        });
        int polls = poller.Polls;
        await On(async () => await _reactor.Delay(TimeSpan.FromMilliseconds(2)));
        Assert.Equal(polls, poller.Polls);
        Assert.Equal(0, poller.Nested);
    }

    private Task On(Func<Task> work)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _reactor.Post(async _ =>
        {
            try
            {
                await work();
                done.SetResult();
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        }, null);
        return done.Task.WaitAsync(TimeSpan.FromSeconds(60));
    }

    private sealed class CountingHandler(Stream stream) : IIoHandler
    {
        internal int Last;

        public void OnReady(IoEvents events) => Volatile.Write(ref Last, stream.ReadByte());
    }

    private sealed class StubbornPoller : IPoller
    {
        internal int Polls, Refusals, Nested;

        public int Poll()
        {
            Polls++;
            return 0;
        }

        public bool PrepareToPark()
        {
            Nested++;
            Volatile.Write(ref Refusals, Refusals + 1);
            return false;
        }

        public void Unpark() => Nested--;
    }
}
