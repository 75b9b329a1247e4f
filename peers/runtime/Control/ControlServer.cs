using System.Net;
using System.Text;
using Archipelago.Runtime.Metrics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Archipelago.Runtime.Control;

/// <summary>
/// The control plane: REST and JSON over HTTP/1.1 on a Unix socket (mode 0600), and on a loopback TCP port if asked. It runs on the
/// .NET thread pool, which no reactor uses, with enough threads from the start that a few handlers that block do not stop the others;
/// so the kernel's scheduler gives it its share however busy the reactors are. Built in: <c>GET /v1/status</c>, <c>GET /v1/health</c>,
/// <c>GET /metrics</c>. Errors are <see cref="ControlError"/>.
/// </summary>
public sealed class ControlServer : IAsyncDisposable
{
    /// <summary>Larger request bodies are refused with EFBIG.</summary>
    public const int MaxBodyBytes = 1 << 20;

    private const int MinPoolThreads = 16;
    private const string PrometheusType = "text/plain; version=0.0.4; charset=utf-8";

    private readonly WebApplication _application;
    private readonly ControlSocket _socket;

    private ControlServer(WebApplication application, ControlSocket socket)
    {
        _application = application;
        _socket = socket;
    }

    /// <summary>The absolute path of the socket.</summary>
    public string SocketPath => _socket.Path;

    /// <summary>The TCP port that is listened on, or null.</summary>
    public int? TcpPort { get; private set; }

    /// <summary>Listens, and answers from when this returns.</summary>
    /// <exception cref="ErrnoException">EADDRINUSE, EEXIST, EACCES, ENAMETOOLONG, EIO: the socket cannot be had.</exception>
    public static async Task<ControlServer> StartAsync(
        ControlOptions options, ProcessStatus status, MetricsRegistry metrics, ILoggerFactory logging, params IEnumerable<IControlEndpoints> peers)
    {
        ThreadPool.GetMinThreads(out int workers, out int ports);
        ThreadPool.SetMinThreads(Math.Max(workers, MinPoolThreads), ports);

        ControlSocket socket = ControlSocket.Claim(options.SocketPath);
        WebApplication? application = null;
        try
        {
            application = Build(options, socket, logging);
            var server = new ControlServer(application, socket);
            application.Use(GuardAsync);
            MapOwn(application, status, metrics);
            foreach (IControlEndpoints peer in peers)
            {
                peer.Map(application);
            }

            await application.StartAsync().ConfigureAwait(false);
            server.TcpPort = options.Tcp is null ? null : BoundPort(application);
            return server;
        }
        catch (Exception e)
        {
            if (application is not null)
            {
                await application.DisposeAsync().ConfigureAwait(false);
            }

            socket.Dispose();
            throw e is IOException ? new ErrnoException(Errno.EADDRINUSE, $"control plane: {e.Message}", e) : e;
        }
    }

    /// <summary>Finishes what is under way (5 s at most), closes and removes the socket.</summary>
    public async ValueTask DisposeAsync()
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        await _application.StopAsync(limit.Token).ConfigureAwait(false);
        await _application.DisposeAsync().ConfigureAwait(false);
        _socket.Dispose();
    }

    /// <summary>What the client is told of an exception. One that nobody foresaw goes to the log in full.</summary>
    internal static ErrnoException ToErrno(HttpContext context, Exception e)
    {
        string request = $"{context.Request.Method} {context.Request.Path}";
        switch (e)
        {
            case ErrnoException known:
                return known;
            case Microsoft.AspNetCore.Http.BadHttpRequestException bad:
                return new ErrnoException(HttpErrors.ErrnoOf(bad.StatusCode), bad.Message, bad);
            case OperationCanceledException:
                return new ErrnoException(Errno.ECANCELED, $"{request}: cancelled", e);
            default:
                context.RequestServices.GetRequiredService<ILoggerFactory>().CreateLogger("archipelago.control")
                    .LogError(e, "control request failed: {Request}", request);
                return new ErrnoException(Errno.EIO, $"{request}: internal error ({e.GetType().Name}: {e.Message}); see the log", e);
        }
    }

    private static WebApplication Build(ControlOptions options, ControlSocket socket, ILoggerFactory logging)
    {
        // The empty builder reads no ASPNETCORE_* variables and no appsettings.json, which could make this listen elsewhere.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddSingleton(logging);
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        builder.Services.AddRoutingCore();
        builder.WebHost.UseKestrelCore();
        builder.WebHost.UseSockets(sockets => sockets.CreateBoundListenSocket = endpoint =>
            endpoint is IPEndPoint ? SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint) : socket.Bind());
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = MaxBodyBytes;
            kestrel.ListenUnixSocket(socket.Path, listen => listen.Protocols = HttpProtocols.Http1);
            if (options.Tcp is { } tcp)
            {
                kestrel.Listen(tcp, listen => listen.Protocols = HttpProtocols.Http1);
            }
        });
        return builder.Build();
    }

    private static void MapOwn(WebApplication application, ProcessStatus status, MetricsRegistry metrics)
    {
        application.GetJson("/v1/status", ControlJson.Default.StatusReport, _ => ValueTask.FromResult(status.Report()));
        application.GetJson("/v1/health", ControlJson.Default.HealthReport, context =>
        {
            HealthReport report = status.Health();
            context.Response.StatusCode = report.IsOk ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
            return ValueTask.FromResult(report);
        });
        application.MapGet("/metrics", context =>
        {
            context.Response.ContentType = PrometheusType;
            return context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(metrics.RenderPrometheus()), context.RequestAborted).AsTask();
        });
    }

    private static int? BoundPort(WebApplication application)
    {
        foreach (string url in application.Urls)
        {
            if (Uri.TryCreate(url, UriKind.Absolute, out Uri? uri) && IPAddress.TryParse(uri.Host.Trim('[', ']'), out _))
            {
                return uri.Port;
            }
        }

        return null;
    }

    // Around every request: errors become JSON, and what no endpoint answered becomes an error.
    private static async Task GuardAsync(HttpContext context, RequestDelegate next)
    {
        try
        {
            RefuseBrowsers(context);
            await next(context).ConfigureAwait(false);
            if (!context.Response.HasStarted && context.Response.StatusCode is StatusCodes.Status404NotFound or StatusCodes.Status405MethodNotAllowed)
            {
                bool known = context.Response.StatusCode == StatusCodes.Status405MethodNotAllowed;
                throw new ErrnoException(
                    known ? Errno.ENOTSUP : Errno.ENOENT,
                    known
                        ? $"{context.Request.Method} is not supported by {context.Request.Path}"
                        : $"no such path in the control plane of this process: {context.Request.Path}; does it run the peer that is asked for?");
            }
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // The client has gone: there is nobody to answer.
        }
        catch (Exception e)
        {
            ErrnoException error = ToErrno(context, e);
            if (context.Response.HasStarted)
            {
                context.Abort();
                return;
            }

            await ControlRoutes.WriteErrorAsync(context, error).ConfigureAwait(false);
        }
    }

    // On TCP a web page on this host could otherwise reach the control plane through its visitor's browser.
    private static void RefuseBrowsers(HttpContext context)
    {
        if (context.Connection.RemoteIpAddress is null)
        {
            return;
        }

        string host = context.Request.Host.Host;
        bool loopback = host == "localhost" || (IPAddress.TryParse(host.Trim('[', ']'), out IPAddress? ip) && IPAddress.IsLoopback(ip));
        if (!loopback || context.Request.Headers.ContainsKey("Origin"))
        {
            throw new ErrnoException(Errno.EACCES, "requests of web pages, and to other host names than localhost, are refused");
        }
    }

    // Signals belong to ShutdownSignal: the default lifetime would stop the control plane at the first SIGTERM, before the destage.
    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
