using System.Diagnostics;
using Archipelago.Librados.Tests;
using Archipelago.Radosd.Librados;
using Archipelago.Runtime;
using Archipelago.Xseg;
using Archipelago.Xseg.Ports;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Archipelago.Radosd.Tests;

[Collection(MemoryClusterGroup.Name)]
public sealed class FenceTests(MemoryCluster cluster)
{
    [Fact]
    public void A_successor_fences_the_killed_predecessor_before_it_replays_and_nothing_is_lost()
    {
        using var place = new Place(cluster);
        using var client = new XsegClient(place.SegmentPath);
        string former;
        var sent = new List<Request>();
        using (var child = ChildProgram.Start(place))
        {
            client.Write("warm", [1]);
            former = AddressIn(place);
            cluster.Freeze();
            try
            {
                // In flight at RADOS, with several for the same place: the replay must keep their order.
                for (int i = 0; i < 60; i++) sent.Add(client.Send(XsegOp.Write, XsegClient.Name($"o{i % 20}"), data: Place.Random(8192, i)));
                Until(() => sent.All(request => request.Word.State == Xseg.Layout.SlotState.Running));
                child.Kill();
                child.WaitForExit();
            }
            finally
            {
                cluster.Thaw();
            }
        }

        using var host = new RadosdHost(place.SegmentPath, place.Options);
        Assert.Equal(60, host.Context.Port.Recovered.Replays.Count);
        Assert.Equal(1, host.Rados.InstancesFenced);
        Assert.NotEqual(former, AddressIn(place));
        Assert.Contains(former, Ceph("osd", "blocklist", "ls"));
        foreach (var request in sent)
        {
            Assert.Equal(0, client.Wait(request));
            client.Free(request);
        }

        for (int i = 40; i < 60; i++) Assert.Equal(Place.Random(8192, i), client.Read($"o{i % 20}", 8192));
    }

    [Fact]
    public void A_write_of_the_fenced_instance_that_is_still_queued_never_lands_on_a_newer_one()
    {
        using var place = new Place(cluster);
        byte[] old = Place.Random(4096, 1), fresh = Place.Random(4096, 2);
        using var dead = new Client(cluster, ns: place.Options.Namespace);
        Assert.Equal(0, dead.Write("o", [1]));
        Record(place, dead.Cluster.Fsid, dead.Cluster.Addresses);
        RadosdHost host;
        cluster.Freeze();
        try
        {
            Assert.Equal(0, dead.Pool.Write("o"u8, old, 0, null));
            host = new RadosdHost(place.SegmentPath, place.Options);
        }
        finally
        {
            cluster.Thaw();
        }

        using (host)
        using (var client = new XsegClient(place.SegmentPath))
        {
            client.Write("o", fresh);
            // It came before the fence, or it never came; either way its outcome is final now.
            Assert.Contains(dead.Take().Errno, new[] { 0, RadosErrno.EBLOCKLISTED });
            Assert.Equal(RadosErrno.EBLOCKLISTED, dead.Write("o", old));
            Assert.Equal(fresh, client.Read("o", 4096));
        }

        Assert.False(File.Exists(place.StatePath));
    }

    [Fact]
    public void A_peer_that_finds_itself_blocklisted_goes_on_as_a_new_client_and_keeps_order_and_locks()
    {
        using var place = new Place(cluster);
        using var host = new RadosdHost(place.SegmentPath, place.Options);
        using var client = new XsegClient(place.SegmentPath);
        using RadosCluster judge = Connect(cluster);
        byte[] cookie = Place.Random(64, 1);
        Assert.Equal(0, client.Do(XsegOp.Acquire, "lock", cookie: cookie).Status);
        string former = AddressIn(place);
        var flying = new Queue<Request>();
        int next = 0;
        Load(500);
        judge.Blocklist(former, TimeSpan.FromMinutes(5));
        Load(1000);
        while (flying.Count > 0) TakeOne();
        Assert.Equal(1, host.Rados.TimesFenced);
        Assert.True(host.Rados.Repeats > 0);
        Assert.NotEqual(former, AddressIn(place));
        Assert.Contains("was blocklisted", host.Logs.Text);
        for (int i = next - 8; i < next; i++) Assert.Equal(Place.Random(4096, i), client.Read($"o{i % 8}", 4096));

        Assert.Equal(0, client.Do(XsegOp.Acquire, "lock", cookie: cookie, flags: RequestFlags.NoSync).Status);
        Assert.Equal(0, client.Do(XsegOp.Release, "lock", cookie: cookie).Status);
        Assert.Equal(Errno.ENOENT, client.Do(XsegOp.Release, "lock", cookie: cookie).Status);

        void Load(int count)
        {
            for (int i = 0; i < count; i++)
            {
                if (flying.Count == 32) TakeOne();
                flying.Enqueue(client.Send(XsegOp.Write, XsegClient.Name($"o{next % 8}"), data: Place.Random(4096, next)));
                next++;
            }
        }

        void TakeOne()
        {
            var request = flying.Dequeue();
            Assert.Equal(0, client.Wait(request));
            client.Free(request);
        }
    }

    [Fact]
    public void An_error_of_any_kind_while_reconnecting_is_logged_and_tried_again()
    {
        using var place = new Place(cluster);
        using var logs = new FaultyLogs("is fenced by others", "fenced: no write of it");
        using var host = new RadosdHost(place.SegmentPath, place.Options, logs);
        using var client = new XsegClient(place.SegmentPath);
        using RadosCluster judge = Connect(cluster);
        client.Write("o", [1]);
        logs.Armed = true;
        judge.Blocklist(AddressIn(place), TimeSpan.FromMinutes(5));
        client.Write("o", [2]);
        Assert.Equal([2], client.Read("o", 1));
        Assert.False(logs.Armed);
        Assert.Contains(FaultyLogs.Message, logs.Text);
    }

    /// <summary>Throws, once, what nobody expects, out of the middle of connecting.</summary>
    private sealed class FaultyLogs(params string[] at) : ILoggerFactory, ILogger
    {
        internal const string Message = "nobody expects this";
        private readonly CapturedLogs _kept = new();
        private volatile bool _armed;

        internal bool Armed { get => _armed; set => _armed = value; }

        internal string Text => _kept.Text;

        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            string line = formatter(state, exception);
            if (_armed && at.Any(part => line.Contains(part, StringComparison.Ordinal)))
            {
                _armed = false;
                throw new InvalidOperationException(Message);
            }

            _kept.Log(logLevel, eventId, state, exception, formatter);
        }

        public void Dispose() => _kept.Dispose();
    }

    [Fact]
    public void Where_the_predecessor_cannot_be_fenced_nothing_is_served_unless_that_is_allowed()
    {
        using var guarded = new DevCluster("memstore", authentication: "cephx");
        using var place = new Place(guarded);
        string keyring = Path.Combine(guarded.Directory, "limited-keyring");
        Run("ceph", "-c", guarded.ConfigFile, "auth", "get-or-create", "client.limited", "mon", "allow r", "osd", "allow rwx", "-o", keyring);
        string conf = Path.Combine(guarded.Directory, "limited.conf");
        File.WriteAllText(conf, File.ReadAllText(guarded.ConfigFile) + $"\n[client.limited]\n\tkeyring = {keyring}\n");
        using RadosCluster dead = Connect(guarded);
        Record(place, dead.Fsid, dead.Addresses);
        var options = place.Options with { CephConf = conf, Client = "limited" };

        var e = Assert.Throws<ErrnoException>(() => new RadosdHost(place.SegmentPath, options with { Wait = true }));
        Assert.Contains(dead.Addresses, e.Message);
        Assert.Contains("profile rbd", e.Message);
        Assert.Contains("allow-unfenced", e.Message);
        Assert.Equal(dead.Addresses, AddressIn(place));

        using var host = new RadosdHost(place.SegmentPath, options with { AllowUnfenced = true });
        Assert.Contains("without a fence", host.Logs.Text);
        using var client = new XsegClient(place.SegmentPath);
        client.Write("o", [1]);
    }

    [Fact]
    public void A_state_file_that_says_nothing_or_names_another_cluster_stops_the_start()
    {
        using var place = new Place(cluster);
        Record(place, Guid.NewGuid().ToString(), "127.0.0.1:0/1");
        Assert.Contains("used the cluster", Refused().Message);
        File.WriteAllText(place.StatePath, "archipelago radosd instance 1\nfsid=x\naddress=");
        Assert.Equal(Errno.EPROTO, Refused().Errno);
        File.WriteAllText(place.StatePath, new string('x', 100_000));
        Assert.Equal(Errno.EPROTO, Refused().Errno);
        File.WriteAllText(place.StatePath, "");
        Assert.Contains(place.StatePath, Refused().Message);

        ErrnoException Refused() => Assert.Throws<ErrnoException>(() => new RadosdHost(place.SegmentPath, place.Options));
    }

    private static void Record(Place place, string fsid, string address)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(place.StatePath)!);
        File.WriteAllText(place.StatePath, $"archipelago radosd instance 1\nfsid={fsid}\naddress={address}\nend");
    }

    private static string AddressIn(Place place) => File.ReadAllLines(place.StatePath)[2]["address=".Length..];

    private static RadosCluster Connect(DevCluster cluster) => Client.Connect(cluster);

    private static void Until(Func<bool> reached) => OrderTests.Until(reached);

    private string Ceph(params string[] arguments) => Run("ceph", ["-c", cluster.ConfigFile, .. arguments]);

    private static string Run(string program, params string[] arguments)
    {
        var info = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in arguments) info.ArgumentList.Add(argument);
        using var process = Process.Start(info)!;
        var error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, error.Result);
        return output;
    }
}
