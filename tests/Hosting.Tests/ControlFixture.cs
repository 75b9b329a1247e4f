using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;
using Archipelago.Runtime.Hosting;
using Archipelago.Runtime.Metrics;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Archipelago.Hosting.Tests;

public sealed record VolumeRequest(string Name, long Size);

public sealed record VolumeAnswer(string Name, long Size, string Method);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    RespectRequiredConstructorParameters = true, RespectNullableAnnotations = true)]
[JsonSerializable(typeof(VolumeRequest))]
[JsonSerializable(typeof(VolumeAnswer))]
[JsonSerializable(typeof(int))]
internal sealed partial class TestJson : JsonSerializerContext;

/// <summary>A peer's endpoints, as a peer would write them.</summary>
internal sealed class VolumeEndpoints : IControlEndpoints
{
    public SemaphoreSlim Cancelled { get; } = new(0);

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.GetJson("/v1/volumes/{name}", TestJson.Default.VolumeAnswer, context => ValueTask.FromResult(
            new VolumeAnswer(context.RouteValue("name"), 1, context.Request.Method)));
        routes.PostJson("/v1/volumes", TestJson.Default.VolumeRequest, TestJson.Default.VolumeAnswer, (body, context) => ValueTask.FromResult(
            new VolumeAnswer(body.Name, body.Size, context.Request.Method)));
        routes.PutJson("/v1/volumes", TestJson.Default.VolumeRequest, TestJson.Default.VolumeAnswer, (body, context) => ValueTask.FromResult(
            new VolumeAnswer(body.Name, body.Size, context.Request.Method)));
        routes.DeleteJson("/v1/volumes/{name}", TestJson.Default.VolumeAnswer, context =>
            throw new ErrnoException(Errno.EBUSY, $"volume {context.RouteValue("name")} is open"));
        routes.GetJson("/v1/bug", TestJson.Default.VolumeAnswer, _ => throw new InvalidOperationException("a bug"));
        routes.GetJson("/v1/never", TestJson.Default.VolumeAnswer, async context =>
        {
            await Task.Delay(Timeout.Infinite, context.RequestAborted);
            return new VolumeAnswer("", 0, "");
        });
        routes.PostStream("/v1/count", TestJson.Default.VolumeRequest, TestJson.Default.Int32, (body, context) => Count(body, context.RequestAborted));
    }

    // Counts to the size; fails after it for the name "fail", before it for "refuse", waits for ever for "hang".
    private async IAsyncEnumerable<int> Count(VolumeRequest body, [EnumeratorCancellation] CancellationToken cancel)
    {
        if (body.Name == "refuse")
        {
            throw new ErrnoException(Errno.EROFS, "refused at once");
        }

        for (int i = 0; i < body.Size; i++)
        {
            yield return i;
        }

        if (body.Name == "fail")
        {
            throw new ErrnoException(Errno.ENOSPC, "the pool is full");
        }

        if (body.Name == "hang")
        {
            try
            {
                await Task.Delay(Timeout.Infinite, cancel);
            }
            finally
            {
                Cancelled.Release();
            }
        }
    }
}

/// <summary>A control plane on a real Unix socket in a directory of its own.</summary>
internal sealed class ControlFixture : IAsyncDisposable
{
    private ControlFixture(TemporaryDirectory directory, MetricsRegistry metrics, ProcessStatus status, VolumeEndpoints volumes, ControlServer server)
    {
        Directory = directory;
        Metrics = metrics;
        Status = status;
        Volumes = volumes;
        Server = server;
        Client = new ControlClient(server.SocketPath) { Timeout = TimeSpan.FromSeconds(60) };
    }

    public TemporaryDirectory Directory { get; }

    public MetricsRegistry Metrics { get; }

    public ProcessStatus Status { get; }

    public VolumeEndpoints Volumes { get; }

    public ControlServer Server { get; }

    public ControlClient Client { get; }

    public static async Task<ControlFixture> StartAsync(System.Net.IPEndPoint? tcp = null)
    {
        var directory = new TemporaryDirectory();
        var metrics = new MetricsRegistry(ownOnly: true);
        var status = new ProcessStatus("cached", "1.2.3", SystemClock.Instance);
        status.AddSection("cached", () => new JsonObject { ["pages"] = 7 });
        var volumes = new VolumeEndpoints();
        var options = new ControlOptions { SocketPath = directory.File("run/control.sock"), Tcp = tcp };
        ControlServer server = await ControlServer.StartAsync(options, status, metrics, NullLoggerFactory.Instance, volumes);
        return new ControlFixture(directory, metrics, status, volumes, server);
    }

    public static Task<ControlServer> StartAnotherAsync(string path) => ControlServer.StartAsync(
        new ControlOptions { SocketPath = path }, new ProcessStatus("x", "1", SystemClock.Instance), new MetricsRegistry(ownOnly: true), NullLoggerFactory.Instance);

    /// <summary>Sends bytes and reads until the server closes.</summary>
    public async Task<string> RawAsync(string request)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(Server.SocketPath));
        using var stream = new NetworkStream(socket);
        try
        {
            await stream.WriteAsync(Encoding.Latin1.GetBytes(request));
        }
        catch (IOException)
        {
            // The server may refuse a body before it has read all of it; its answer is what counts.
        }

        using var answer = new MemoryStream();
        try
        {
            await stream.CopyToAsync(answer).WaitAsync(TimeSpan.FromSeconds(60));
        }
        catch (IOException)
        {
            // A close with unread input resets the connection, after what was answered.
        }

        return Encoding.UTF8.GetString(answer.ToArray());
    }

    public Task<string> RawPostAsync(string body, string type = "application/json") =>
        RawAsync($"POST /v1/volumes HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {type}\r\nContent-Length: {body.Length}\r\n\r\n{body}");

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await Server.DisposeAsync();
        Metrics.Dispose();
        Directory.Dispose();
    }
}
