using System.Net;
using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;
using Archipelago.Runtime.Control;
using Microsoft.AspNetCore.Http;

namespace Archipelago.Hosting.Tests;

public sealed class ControlTests
{
    [Fact]
    public async Task Status_health_and_metrics_are_answered_over_the_socket()
    {
        await using ControlFixture f = await ControlFixture.StartAsync();
        f.Status.State = "running";
        f.Status.AddSection("broken", () => throw new InvalidOperationException("no figures"));
        StatusReport status = await f.Client.GetAsync("/v1/status", ControlJson.Default.StatusReport);
        Assert.Equal(("cached", "1.2.3", Environment.ProcessId, "running"), (status.Name, status.Version, status.Pid, status.State));
        Assert.Equal(7, (int?)status.Sections["cached"]!["pages"]);
        Assert.Equal("no figures", (string?)status.Sections["broken"]!["error"]);
        Assert.True((await f.Client.HealthAsync()).IsOk);
        f.Status.AddCheck("segment", () => "locked by nobody");
        HealthReport health = await f.Client.HealthAsync();
        Assert.False(health.IsOk);
        Assert.Equal("locked by nobody", health.Failing["segment"]);
        Assert.Contains("HTTP/1.1 503", await f.RawAsync("GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), StringComparison.Ordinal);
        f.Metrics.Gauge("test", null, "Test.", () => 4);
        Assert.Equal(4, PrometheusChecker.Check(await f.Client.GetTextAsync("/metrics"))["archipelago_test"]);
        Assert.Contains("text/plain; version=0.0.4", await f.RawAsync("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_peer_s_endpoints_take_and_give_typed_json()
    {
        await using ControlFixture f = await ControlFixture.StartAsync();
        var body = new VolumeRequest("demo", 1L << 40);
        Assert.Equal(new VolumeAnswer("a b", 1, "GET"), await f.Client.GetAsync("/v1/volumes/a%20b", TestJson.Default.VolumeAnswer));
        Assert.Equal(
            new VolumeAnswer("demo", 1L << 40, "POST"),
            await f.Client.PostAsync("/v1/volumes", body, TestJson.Default.VolumeRequest, TestJson.Default.VolumeAnswer));
        Assert.Equal(
            new VolumeAnswer("demo", 1L << 40, "PUT"),
            await f.Client.PutAsync("/v1/volumes", body, TestJson.Default.VolumeRequest, TestJson.Default.VolumeAnswer));
    }

    [Fact]
    public async Task Errors_reach_the_client_with_errno_and_message()
    {
        await using ControlFixture f = await ControlFixture.StartAsync();
        ErrnoException busy = await Fails(f.Client.DeleteAsync("/v1/volumes/demo", TestJson.Default.VolumeAnswer));
        Assert.Equal((Errno.EBUSY, "volume demo is open"), (busy.Errno, busy.Message));
        ErrnoException unknown = await Fails(f.Client.GetAsync("/v1/nonsense", TestJson.Default.VolumeAnswer));
        Assert.Equal(Errno.ENOENT, unknown.Errno);
        Assert.Contains("/v1/nonsense", unknown.Message, StringComparison.Ordinal);
        Assert.Equal(Errno.ENOTSUP, (await Fails(f.Client.DeleteAsync("/v1/status", TestJson.Default.VolumeAnswer))).Errno);
        ErrnoException bug = await Fails(f.Client.GetAsync("/v1/bug", TestJson.Default.VolumeAnswer));
        Assert.Equal(Errno.EIO, bug.Errno);
        Assert.Contains("InvalidOperationException: a bug", bug.Message, StringComparison.Ordinal);
        string raw = await f.RawAsync("DELETE /v1/volumes/d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 409 ", raw, StringComparison.Ordinal);
        Assert.EndsWith("{\"errno\":16,\"error\":\"EBUSY\",\"message\":\"volume d is open\"}", raw, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{")]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{\"name\":1,\"size\":2}")]
    [InlineData("{\"name\":\"a\"}")]
    [InlineData("{\"name\":null,\"size\":1}")]
    [InlineData("{\"name\":\"a\",\"size\":1,\"more\":1}")]
    [InlineData("{\"name\":\"a\",\"size\":99999999999999999999}")]
    [InlineData("\u00ff\u00fe")]
    public async Task A_body_that_is_not_the_json_expected_is_einval(string body)
    {
        await using ControlFixture f = await ControlFixture.StartAsync();
        string raw = await f.RawPostAsync(body);
        Assert.StartsWith("HTTP/1.1 400 ", raw, StringComparison.Ordinal);
        Assert.Contains("{\"errno\":22,\"error\":\"EINVAL\",\"message\":\"the body ", raw, StringComparison.Ordinal);
        Assert.True((await f.Client.HealthAsync()).IsOk);
    }

    [Fact]
    public async Task Other_content_types_too_large_bodies_and_garbage_are_refused_and_nothing_breaks()
    {
        await using ControlFixture f = await ControlFixture.StartAsync();
        Assert.Contains("\"EINVAL\"", await f.RawPostAsync("{\"name\":\"a\",\"size\":1}", "text/plain"), StringComparison.Ordinal);
        Assert.Contains("\"EFBIG\"", await f.RawPostAsync(new string(' ', (1 << 20) + 1)), StringComparison.Ordinal);
        var large = new VolumeRequest(new string('x', ControlServer.MaxBodyBytes), 1);
        Assert.Equal(Errno.EFBIG, (await Assert.ThrowsAsync<ErrnoException>(() =>
            f.Client.PostAsync("/v1/volumes", large, TestJson.Default.VolumeRequest, TestJson.Default.VolumeAnswer))).Errno);
        Assert.StartsWith("HTTP/1.1 400 ", await f.RawAsync("\0\u0001garbage\r\n\r\n"), StringComparison.Ordinal);
        Assert.Contains("\"EINVAL\"", await f.RawAsync("POST /v1/volumes HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), StringComparison.Ordinal);
        Assert.True((await f.Client.HealthAsync()).IsOk);
    }

    [Fact]
    public async Task Streams_bring_items_as_they_come_and_end_with_their_outcome()
    {
        await using ControlFixture f = await ControlFixture.StartAsync();
        Assert.Equal([0, 1, 2], await Items("ok", 3));
        Assert.Equal([], await Items("ok", 0));
        var seen = new List<int>();
        ErrnoException full = await Assert.ThrowsAsync<ErrnoException>(() => Items("fail", 2, seen));
        Assert.Equal((Errno.ENOSPC, "the pool is full"), (full.Errno, full.Message));
        Assert.Equal([0, 1], seen);
        Assert.Equal(Errno.EROFS, (await Assert.ThrowsAsync<ErrnoException>(() => Items("refuse", 2))).Errno);

        async Task<List<int>> Items(string name, int count, List<int>? into = null)
        {
            into ??= [];
            await foreach (int item in Stream(f, name, count))
            {
                into.Add(item);
            }

            return into;
        }
    }

    [Fact]
    public async Task A_client_that_leaves_a_stream_cancels_the_work()
    {
        await using ControlFixture f = await ControlFixture.StartAsync();
        await foreach (int item in Stream(f, "hang", 2))
        {
            if (item == 1)
            {
                break;
            }
        }

        Assert.True(await f.Volumes.Cancelled.WaitAsync(TimeSpan.FromSeconds(60)));
    }

    [Fact]
    public async Task A_busy_machine_and_blocked_handlers_do_not_silence_the_control_plane()
    {
        await using ControlFixture f = await ControlFixture.StartAsync();
        using var stop = new CancellationTokenSource();
        using var release = new ManualResetEventSlim();
        Thread[] reactors = [.. Enumerable.Range(0, Environment.ProcessorCount).Select(_ => new Thread(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                Thread.SpinWait(100);
            }
        }) { IsBackground = true })];
        Array.ForEach(reactors, t => t.Start());
        Task[] blocked = [.. Enumerable.Range(0, 8).Select(_ => Task.Run(release.Wait))];
        for (int i = 0; i < 20; i++)
        {
            Assert.True((await f.Client.HealthAsync()).IsOk);
        }

        release.Set();
        await Task.WhenAll(blocked);
        stop.Cancel();
        Array.ForEach(reactors, t => t.Join());
    }

    [Fact]
    public async Task Tcp_is_answered_on_loopback_only_and_not_for_web_pages()
    {
        await using ControlFixture f = await ControlFixture.StartAsync(new IPEndPoint(IPAddress.Loopback, 0));
        using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{f.Server.TcpPort}") };
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/v1/health")).StatusCode);
        using var fromPage = new HttpRequestMessage(HttpMethod.Get, "/v1/health");
        fromPage.Headers.Add("Origin", "http://evil.example");
        Assert.Equal(HttpStatusCode.Forbidden, (await http.SendAsync(fromPage)).StatusCode);
        using var rebound = new HttpRequestMessage(HttpMethod.Get, "/v1/health");
        rebound.Headers.Host = "evil.example";
        Assert.Equal(HttpStatusCode.Forbidden, (await http.SendAsync(rebound)).StatusCode);

        var schema = new ConfigSchema(ControlOptions.Section);
        Config open = ConfigLoader.Load(schema, new ConfigSources { BuiltIn = "[control]\ntcp = 0.0.0.0:80" });
        ConfigException refused = Assert.Throws<ConfigException>(() => ControlOptions.From(open));
        Assert.Contains(":2: [control] tcp: expected a loopback address", refused.Message, StringComparison.Ordinal);
        Config local = ConfigLoader.Load(schema, new ConfigSources { BuiltIn = "[control]\ntcp = localhost:80\nsocket = /x/y" });
        Assert.Equal(("/x/y", new IPEndPoint(IPAddress.Loopback, 80)), (ControlOptions.From(local).SocketPath, ControlOptions.From(local).Tcp!));
    }

    [Theory]
    [InlineData(Errno.ENOENT, StatusCodes.Status404NotFound)]
    [InlineData(Errno.EINVAL, StatusCodes.Status400BadRequest)]
    [InlineData(Errno.EEXIST, StatusCodes.Status409Conflict)]
    [InlineData(Errno.ENOSPC, StatusCodes.Status507InsufficientStorage)]
    [InlineData(Errno.ETIMEDOUT, StatusCodes.Status504GatewayTimeout)]
    [InlineData(Errno.EIO, StatusCodes.Status500InternalServerError)]
    [InlineData(Errno.ESHUTDOWN, StatusCodes.Status503ServiceUnavailable)]
    public void An_errno_has_a_fitting_http_status(int errno, int status) => Assert.Equal(status, HttpErrors.StatusOf(errno));

    internal static IAsyncEnumerable<int> Stream(ControlFixture f, string name, int count) => f.Client.StreamAsync(
        "/v1/count", new VolumeRequest(name, count), TestJson.Default.VolumeRequest, TestJson.Default.Int32);

    private static Task<ErrnoException> Fails(Task call) => Assert.ThrowsAsync<ErrnoException>(() => call);
}
