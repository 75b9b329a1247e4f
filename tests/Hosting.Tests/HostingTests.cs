using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Archipelago.Runtime;
using Archipelago.Runtime.Hosting;

namespace Archipelago.Hosting.Tests;

public sealed partial class HostingTests : IDisposable
{
    private readonly TemporaryDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Sd_notify_sends_one_datagram_per_state(bool isAbstract)
    {
        string name = isAbstract ? "@ah-" + Guid.NewGuid().ToString("N") : _temp.File("notify");
        using var manager = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { ReceiveTimeout = 10_000 };
        manager.Bind(new UnixDomainSocketEndPoint(isAbstract ? "\0" + name[1..] : name));
        var notify = new SdNotify(name, TimeSpan.FromSeconds(30));
        Assert.True(notify.Enabled);
        Assert.True(notify.Ready() && notify.Status("destaging\nSTOPPING=1 12 %") && notify.Watchdog());
        Assert.True(notify.ExtendTimeout(TimeSpan.FromSeconds(2)) && notify.Stopping());
        string[] expected = ["READY=1", "STATUS=destaging STOPPING=1 12 %", "WATCHDOG=1", "EXTEND_TIMEOUT_USEC=2000000", "STOPPING=1"];
        byte[] buffer = new byte[256];
        Assert.All(expected, text => Assert.Equal(text, Encoding.UTF8.GetString(buffer, 0, manager.Receive(buffer))));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("relative")]
    [InlineData("@")]
    public void Without_a_usable_notify_socket_nothing_happens(string? socket)
    {
        var notify = new SdNotify(socket);
        Assert.False(notify.Enabled);
        Assert.False(notify.Ready());
    }

    [Fact]
    public void A_manager_that_is_gone_or_too_long_a_path_is_no_fault_of_ours()
    {
        Assert.False(new SdNotify(_temp.File("gone")).Ready());
        Assert.False(new SdNotify("/" + new string('x', 200)).Enabled);
    }

    [Theory]
    [InlineData("30000000", null, 30.0)]
    [InlineData("30000000", "42", 30.0)]
    [InlineData("30000000", "43", null)]
    [InlineData("0", null, null)]
    [InlineData("-1", null, null)]
    [InlineData("x", null, null)]
    [InlineData(null, null, null)]
    public void The_watchdog_counts_only_for_this_process(string? microseconds, string? pid, double? seconds) =>
        Assert.Equal(seconds, SdNotify.WatchdogFrom(microseconds, pid, 42)?.TotalSeconds);

    [Fact]
    public async Task The_first_signal_requests_the_shutdown_and_the_second_is_told_apart()
    {
        const int SigTerm = 15;
        // Not SIGQUIT or SIGINT: a shell has its background jobs ignore them.
        using var shutdown = new ShutdownSignal();
        using var second = new SemaphoreSlim(0);
        var ordinals = new List<(PosixSignal, int)>();
        shutdown.Signalled += (signal, ordinal) =>
        {
            ordinals.Add((signal, ordinal));
            second.Release();
        };
        Assert.Equal(0, kill(Environment.ProcessId, SigTerm));
        Assert.Equal(PosixSignal.SIGTERM, await shutdown.Requested.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.True(await second.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.True(shutdown.Token.IsCancellationRequested);
        Assert.Equal(0, kill(Environment.ProcessId, SigTerm));
        Assert.True(await second.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Equal([(PosixSignal.SIGTERM, 1), (PosixSignal.SIGTERM, 2)], ordinals);
    }

    [Fact]
    public void Clocks_rise_and_boot_time_is_not_behind_monotonic_time()
    {
        IClock clock = SystemClock.Instance;
        long last = 0;
        for (int i = 0; i < 10_000; i++)
        {
            long now = clock.MonotonicNanoseconds;
            Assert.True(now >= last);
            last = now;
        }

        long monotonic = clock.MonotonicNanoseconds;
        Assert.True(clock.BoottimeNanoseconds >= monotonic);
        long before = GC.GetAllocatedBytesForCurrentThread();
        _ = clock.BoottimeNanoseconds + clock.MonotonicNanoseconds;
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void The_generator_gives_the_published_sequences()
    {
        ulong state = 0;
        Assert.Equal(0xE220A8397B1DCDAF, SeededRandom.SplitMix(ref state));
        var random = new SeededRandom(1, 2, 3, 4);
        ulong[] expected = [11520, 0, 1509978240, 1215971899390074240];
        Assert.Equal(expected, expected.Select(_ => random.NextUInt64()));
    }

    [Fact]
    public void A_seed_replays_and_forks_do_not_depend_on_what_was_drawn()
    {
        SeededRandom first = new(7), second = new(7);
        IRandom early = first.Fork(1);
        Assert.Equal(Draw(first), Draw(second));
        Assert.Equal(Draw(early), Draw(second.Fork(1)));
        Assert.NotEqual(Draw(first.Fork(1)), Draw(first.Fork(2)));
        Assert.NotEqual(Draw(new SeededRandom(7)), Draw(new SeededRandom(8)));
        Assert.NotEqual(SeededRandom.FromEntropy().Seed, SeededRandom.FromEntropy().Seed);

        static ulong[] Draw(IRandom random) => [.. Enumerable.Range(0, 20).Select(_ => random.NextUInt64())];
    }

    [Fact]
    public void Bounded_draws_are_in_range_and_even()
    {
        var random = new SeededRandom(11);
        int[] counts = new int[7];
        for (int i = 0; i < 70_000; i++)
        {
            counts[random.Next(7)]++;
            Assert.InRange(random.NextDouble(), 0, 0.9999999999999999);
        }

        Assert.All(counts, c => Assert.InRange(c, 9_500, 10_500));
        Assert.All(Enumerable.Range(0, 1000), _ => Assert.InRange(random.Next(long.MaxValue), 0, long.MaxValue - 1));
        byte[] bytes = new byte[13];
        random.Fill(bytes);
        Assert.Contains(bytes[8..], b => b != 0);
        Assert.Throws<ArgumentOutOfRangeException>(() => random.Next(0));
    }

    [Fact]
    public void Errnos_have_names_and_words()
    {
        Assert.Equal("ENOENT", Errno.Name(2));
        Assert.Equal("ENOTSUP", Errno.Name(95));
        Assert.Equal("ESTALE", Errno.Name(Errno.ESTALE));
        Assert.Equal("OK", Errno.Name(0));
        Assert.Equal("E4095", Errno.Name(4095));
        Assert.Equal("no space left", Errno.Describe(Errno.ENOSPC));
        Assert.Equal("error 4095", Errno.Describe(4095));
        Assert.Equal("ETIMEDOUT", new ErrnoException(110, "x").Symbol);
        Assert.Throws<ArgumentOutOfRangeException>(() => new ErrnoException(-2, "x"));
    }

    [LibraryImport("libc")]
    private static partial int kill(int pid, int signal);
}
