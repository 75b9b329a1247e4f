using Archipelago.Xseg.Memory;
using Archipelago.Xseg.Recovery;
using Xunit;
using Xunit.Abstractions;

namespace Archipelago.Xseg.Tests.Fuzz;

/// <summary>
/// Random bytes over the slots and rings of one client while it and another one use a server: nothing crashes, nobody sees or
/// changes a page of the other's flow, the other one's requests all succeed, and after a restart the victim is served again.
/// </summary>
public class FuzzTests(ITestOutputHelper output)
{
    private const int VictimPages = 60, SoundPages = 60, ServerPages = 120;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    public void ADamagedClientHarmsNobodyElse(int seed)
    {
        var random = new Random(seed);
        using var segment = new TestSegment(ports: 4, slots: 32, pages: 300);
        var server = BindServer(segment);
        var (victim, victimMemory) = BindVictim(segment, server, seed);
        var sound = BindSound(segment, server, seed);
        var vandal = new Vandal(segment.First, victim.Port.Number, server.Port.Number, foreignFlow: 2, seed);
        for (int step = 0; step < 10_000; step++)
        {
            switch (random.Next(8))
            {
                case 0:
                    for (int i = 0; i < 4; i++) vandal.Strike();
                    break;
                case 1 or 2:
                    victim.TrySend();
                    break;
                case 3 or 4:
                    sound.TrySend();
                    break;
                case 5:
                    victim.Receive();
                    break;
                case 6:
                    sound.Receive();
                    break;
                default:
                    server.Serve();
                    if (random.Next(8) == 0) server.Port.PrepareToSleep();
                    server.Port.Awake();
                    break;
            }

            // What was hit is lost; a client that has lost its requests is restarted. Its slots may say what they like.
            if (random.Next(100) != 0) continue;
            server.Serve();
            victimMemory.Dispose();
            try
            {
                (victim, victimMemory) = BindVictim(segment, server, seed + step);
            }
            catch (XsegException refused) when (refused.Errno == XsegErrno.EBUSY)
            {
                output.WriteLine($"seed {seed} step {step}: {refused.Message}");
                Recover(segment, out victim, out victimMemory, server, sound, seed);
            }
        }

        for (int i = 0; i < 200 && sound.Outstanding > 0; i++)
        {
            server.Serve();
            server.Port.PrepareToSleep();
            server.Port.Awake();
            sound.Receive();
        }

        Assert.Equal(0, sound.Outstanding);
        AssertServed(sound, server);
        victimMemory.Dispose();
        Recover(segment, out victim, out _, server, sound, seed);
        AssertServed(victim, server);
        Assert.True(server.BadRequests > 0, "nothing was refused: the vandal did not hit");
        output.WriteLine($"seed {seed}: {server.Served} served, {server.BadRequests} refused, {sound.Completed} of the sound client");
    }

    [Fact]
    public void ADamagedClientHarmsNobodyElseOnThreads()
    {
        int seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        using var segment = new TestSegment(ports: 4, slots: 32, pages: 300);
        var server = BindServer(segment);
        var (victim, _) = BindVictim(segment, server, seed);
        var sound = BindSound(segment, server, seed);
        var vandal = new Vandal(segment.First, victim.Port.Number, server.Port.Number, foreignFlow: 2, seed);
        bool stop = false, stopServer = false;
        var failures = new List<Exception>();
        Thread Run(Action action) => Start(action, failures);

        var serving = Run(() =>
        {
            while (!Volatile.Read(ref stopServer))
                if (server.Serve() == 0 && server.Port.PrepareToSleep() | true) Pause(server.Port.Awake);
        });
        var damaging = Run(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                victim.TrySend();
                if (victim.Receive() == 0) Thread.Yield();
            }
        });
        var striking = Run(() =>
        {
            for (int i = 0; i < 20_000 && !Volatile.Read(ref stop); i++)
            {
                vandal.Strike();
                Thread.Yield();
            }

            Volatile.Write(ref stop, true);
        });
        var working = Run(() =>
        {
            while (!Volatile.Read(ref stop) || sound.Outstanding > 0)
            {
                if (!Volatile.Read(ref stop)) sound.TrySend();
                if (sound.Receive() == 0) Thread.Yield();
            }
        });
        striking.Join();
        damaging.Join();
        Assert.True(working.Join(TimeSpan.FromSeconds(60)) || failures.Count > 0, "the sound client waits for ever");
        Volatile.Write(ref stopServer, true);
        serving.Join();
        Assert.Empty(failures);
        AssertServed(sound, server);
        output.WriteLine($"{server.Served} served, {server.BadRequests} refused, {sound.Completed} of the sound client");
    }

    private static void Pause(Action awake)
    {
        awake();
        Thread.Yield();
    }

    private static Thread Start(Action action, List<Exception> failures)
    {
        var thread = new Thread(() =>
        {
            try
            {
                action();
            }
            catch (Exception failure)
            {
                lock (failures) failures.Add(failure);
            }
        });
        thread.Start();
        return thread;
    }

    private static byte MarkOf(int issuer) => issuer == 1 ? (byte)'A' : (byte)'B';

    private static FuzzServer BindServer(TestSegment segment) => new(TestSegment.Bind(segment.Join(), "server", ServerPages, keeps: true), MarkOf);

    private static (FuzzClient Client, Segment Memory) BindVictim(TestSegment segment, FuzzServer server, int seed)
    {
        var memory = segment.Join();
        var port = TestSegment.Bind(memory, "victim", VictimPages, timeout: 20);
        Assert.Equal(1, port.Number);
        port.Connect(server.Port.Number);
        return (new FuzzClient(port, server.Port.Number, 1, (byte)'A', isSound: false, seed), memory);
    }

    private static FuzzClient BindSound(TestSegment segment, FuzzServer server, int seed)
    {
        var port = TestSegment.Bind(segment.Join(), "sound", SoundPages);
        port.Connect(server.Port.Number);
        return new FuzzClient(port, server.Port.Number, 2, (byte)'B', isSound: true, ~seed);
    }

    /// <summary>A word that says Running at a living peer which knows nothing of it: an operator would mend it; here the word is.</summary>
    private static unsafe void Recover(TestSegment segment, out FuzzClient victim, out Segment memory, FuzzServer server, FuzzClient sound, int seed)
    {
        server.Serve();
        uint first = 1u << segment.First.SlotShift;
        for (uint slot = first; slot < first + (uint)segment.First.SlotsPerPort; slot++) segment.First.SlotAt(slot)->Word &= ~0xFFul;
        (victim, memory) = BindVictim(segment, server, seed);
        sound.Receive();
    }

    private static void AssertServed(FuzzClient client, FuzzServer server)
    {
        long before = client.Completed;
        for (int i = 0; i < 100; i++)
        {
            client.TrySend();
            server.Serve();
            server.Port.PrepareToSleep();
            server.Port.Awake();
            client.Receive();
        }

        Assert.True(client.Completed - before >= 60, $"{client.Completed - before} of 100 answered; {client.Outstanding} outstanding, {client.Port.FreeSlots} slots and {client.Port.Pages.Count} pages free, {server.Port.Pages.Count} of the server, {server.Port.Limbo.Count} in limbo");
    }
}
