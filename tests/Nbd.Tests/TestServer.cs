using System.Text;
using Archipelago.Mapperd;
using Archipelago.Memd;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Vlmcd;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;

namespace Archipelago.Nbd.Tests;

/// <summary>A gateway over <see cref="ArrayVolumes"/> on a reactor of its own, in a segment of its own.</summary>
internal sealed class TestServer : IAsyncDisposable
{
    private readonly Segment _segment;
    private readonly Reactor _reactor;
    private readonly Thread _thread;
    private readonly PeerHost _host;

    private TestServer(SegmentOptions segment)
    {
        Directory = System.IO.Directory.CreateTempSubdirectory("an-").FullName;
        _segment = Segment.Create(Path.Combine(Directory, "seg"), segment);
        _reactor = new Reactor(new ReactorOptions { Name = "nbd-test" });
        _host = new PeerHost(_reactor, _segment, Logs);
        _thread = new Thread(_reactor.Run) { Name = "nbd-test", IsBackground = true };
        _thread.Start();
    }

    internal string Directory { get; }
    internal string SocketPath => Path.Combine(Directory, "nbd.sock");
    internal CapturedLogs Logs { get; } = new();
    internal ArrayVolumes Volumes { get; } = new();
    internal NbdPeer Peer { get; private set; } = null!;
    internal Segment Segment => _segment;
    internal PeerContext Context { get; private set; } = null!;

    internal string Uri(string export) => $"nbd+unix:///{export}?socket={SocketPath}";

    /// <summary>With the volume "vol" of 64 MiB.</summary>
    internal static async Task<TestServer> StartAsync(Func<NbdOptions, NbdOptions>? change = null, SegmentOptions? segment = null, int pages = 4096, int lent = 8192, int size = 64 << 20)
    {
        var server = new TestServer(segment ?? new SegmentOptions { Ports = 4, Pages = 16 * 1024, Prefault = false });
        server.Volumes.Add("vol", size);
        var options = new NbdOptions { SocketPath = server.SocketPath, Pages = pages };
        options = change?.Invoke(options) ?? options;
        server.Peer = new NbdPeer(options);
        try
        {
            await server.StartPeers(options, lent);
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    private Task StartPeers(NbdOptions options, int lent)
    {
        return OnReactor(async () =>
        {
            await _host.StartAsync(new PeerPlan { Name = "volumes", Peer = Volumes, Serves = "volumes", Pages = lent });
            Context = await _host.StartAsync(new PeerPlan { Name = "nbd", Peer = Peer, Pages = options.Pages });
            return true;
        });
    }

    /// <summary>A gateway over vlmcd over <paramref name="memd"/>, with the volume "vol".</summary>
    internal static async Task<TestServer> StartChainAsync(MemdPeer memd, Func<NbdOptions, NbdOptions>? change = null, ulong size = 64 << 20)
    {
        var server = new TestServer(new SegmentOptions { Ports = 5, Pages = 32 * 1024, Prefault = false });
        var options = new NbdOptions { SocketPath = server.SocketPath };
        server.Peer = new NbdPeer(change?.Invoke(options) ?? options);
        await server.OnReactor(async () =>
        {
            await server._host.StartAsync(new PeerPlan { Name = "memd", Peer = memd, Serves = "blocks", Pages = 8192 });
            await server._host.StartAsync(new PeerPlan
            {
                Name = "mapperd",
                Peer = new MapperdPeer(new MapperdOptions { Objects = "blocks" }),
                Serves = "maps",
                Pages = MapperdOptions.RecommendedPages,
            });
            await server._host.StartAsync(new PeerPlan
            {
                Name = "vlmcd",
                Peer = new VlmcdPeer(new VlmcdOptions { Blocks = "blocks" }),
                Serves = "volumes",
                Pages = VlmcdOptions.RecommendedPages,
            });
            server.Context = await server._host.StartAsync(new PeerPlan { Name = "nbd", Peer = server.Peer, Pages = options.Pages });
            var create = await server.Context.AllocateAsync();
            server.Context.Port.Prepare(create, XsegOp.Create, 0, "vol"u8, Hash128.Of("vol"u8), 0, size);
            Assert.Equal(0, await server.Context.OpenRoute("volumes").SubmitAsync(create));
            server.Context.Free(create);
            return true;
        });
        return server;
    }

    /// <summary>Asks vlmcd for a change of a volume; its status.</summary>
    internal Task<int> ControlAsync(XsegOp op, string target, string source = "", ulong length = 0) => OnReactor(async () =>
    {
        var request = await Context.AllocateAsync();
        var name = Encoding.ASCII.GetBytes(target);
        Context.Port.Prepare(request, op, 0, name, Hash128.Of(name), 0, length);
        if (source.Length > 0) Context.Port.SetSource(request, Encoding.ASCII.GetBytes(source));
        int status = await Context.OpenRoute("volumes").SubmitAsync(request);
        Context.Free(request);
        return status;
    });

    /// <summary>Runs something on the reactor.</summary>
    internal Task<T> OnReactor<T>(Func<Task<T>> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        _reactor.Post(async _ =>
        {
            try
            {
                done.SetResult(await work());
            }
            catch (Exception fault)
            {
                done.SetException(fault);
            }
        }, null);
        return done.Task;
    }

    internal Task<T> OnReactor<T>(Func<T> work) => OnReactor(() => Task.FromResult(work()));

    /// <summary>Waits until something holds on the reactor.</summary>
    internal async Task Until(Func<bool> holds, string what)
    {
        for (int i = 0; i < 5000; i++)
        {
            if (await OnReactor(holds)) return;
            await Task.Delay(2);
        }

        Assert.Fail($"never came true: {what}");
    }

    /// <summary>Waits until something that is asked for holds.</summary>
    internal async Task UntilAsync(Func<Task<bool>> holds, string what)
    {
        for (int i = 0; i < 5000; i++)
        {
            if (await holds()) return;
            await Task.Delay(2);
        }

        Assert.Fail($"never came true: {what}");
    }

    internal Task StopPeers() => OnReactor(async () =>
    {
        await _host.StopAsync();
        return true;
    });

    public async ValueTask DisposeAsync()
    {
        await OnReactor(() =>
        {
            Volumes.LetGo();
            return true;
        });
        await StopPeers().WaitAsync(TimeSpan.FromSeconds(20));
        _reactor.Stop();
        _thread.Join();
        _reactor.Dispose();
        _segment.Dispose();
        System.IO.Directory.Delete(Directory, recursive: true);
    }
}
