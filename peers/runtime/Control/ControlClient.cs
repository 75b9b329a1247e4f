using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Archipelago.Runtime.Control;

/// <summary>
/// A client of a control socket: what the <c>archipelago</c> command is made of. Every failure is an <see cref="ErrnoException"/>, with
/// the server's errno and message if it gave one. Safe for any thread.
/// </summary>
public sealed class ControlClient : IDisposable
{
    private const string JsonType = "application/json";

    private readonly string _path;
    private readonly HttpClient _http;

    /// <summary>A client of the socket at a path. Connects when it is first used.</summary>
    public ControlClient(string socketPath)
    {
        _path = Path.GetFullPath(socketPath);
        var handler = new SocketsHttpHandler
        {
            ConnectCallback = (_, cancel) => ConnectAsync(cancel),
            UseProxy = false,
            AllowAutoRedirect = false,
        };
        _http = new HttpClient(handler) { BaseAddress = new Uri("http://localhost/"), Timeout = System.Threading.Timeout.InfiniteTimeSpan };
    }

    /// <summary>How long an answer may take to begin, and one that is not a stream to end: ETIMEDOUT then.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>GET.</summary>
    public Task<TOut> GetAsync<TOut>(string path, JsonTypeInfo<TOut> output, CancellationToken cancel = default) =>
        AskAsync(new HttpRequestMessage(HttpMethod.Get, path), output, cancel);

    /// <summary>DELETE.</summary>
    public Task<TOut> DeleteAsync<TOut>(string path, JsonTypeInfo<TOut> output, CancellationToken cancel = default) =>
        AskAsync(new HttpRequestMessage(HttpMethod.Delete, path), output, cancel);

    /// <summary>POST.</summary>
    public Task<TOut> PostAsync<TIn, TOut>(
        string path, TIn body, JsonTypeInfo<TIn> input, JsonTypeInfo<TOut> output, CancellationToken cancel = default) =>
        AskAsync(WithBody(HttpMethod.Post, path, body, input), output, cancel);

    /// <summary>PUT.</summary>
    public Task<TOut> PutAsync<TIn, TOut>(
        string path, TIn body, JsonTypeInfo<TIn> input, JsonTypeInfo<TOut> output, CancellationToken cancel = default) =>
        AskAsync(WithBody(HttpMethod.Put, path, body, input), output, cancel);

    /// <summary>GET of a text, such as <c>/metrics</c>.</summary>
    public Task<string> GetTextAsync(string path, CancellationToken cancel = default) =>
        LimitedAsync(new HttpRequestMessage(HttpMethod.Get, path), static (r, c) => r.Content.ReadAsStringAsync(c), cancel);

    /// <summary>
    /// <c>GET /v1/health</c>, whose 503 is an answer and not an error.
    /// </summary>
    public Task<HealthReport> HealthAsync(CancellationToken cancel = default) =>
        LimitedAsync(
            new HttpRequestMessage(HttpMethod.Get, "/v1/health"), (r, c) => ReadAsync(r, ControlJson.Default.HealthReport, c), cancel, acceptFailure: true);

    /// <summary>
    /// POST to an endpoint that streams (<see cref="ControlRoutes.PostStream"/>): the items as they come. Throws the server's error where
    /// it stands in the stream, and ECONNRESET if the stream ends before its end is said. To stop reading cancels the work.
    /// </summary>
    public async IAsyncEnumerable<TItem> StreamAsync<TIn, TItem>(
        string path, TIn body, JsonTypeInfo<TIn> input, JsonTypeInfo<TItem> item, [EnumeratorCancellation] CancellationToken cancel = default,
        int maxBodyBytes = ControlServer.MaxBodyBytes)
    {
        using HttpResponseMessage response = await StartStreamAsync(WithBody(HttpMethod.Post, path, body, input, maxBodyBytes), cancel).ConfigureAwait(false);
        using Stream stream = await response.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false);
        using var reader = new StreamReader(stream);
        while (true)
        {
            string? line = await ReadLineAsync(reader, path, cancel).ConfigureAwait(false);
            (bool isItem, TItem value) = ParseLine(line, path, item);
            if (!isItem)
            {
                yield break;
            }

            yield return value;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private static HttpRequestMessage WithBody<T>(HttpMethod method, string path, T body, JsonTypeInfo<T> type, int maxBytes = ControlServer.MaxBodyBytes)
    {
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(body, type);
        if (json.Length > maxBytes)
        {
            // The server would refuse it and close before it has read all, which a client sees as a broken connection.
            throw new ErrnoException(Errno.EFBIG, $"{path}: a request of {json.Length} bytes, but at most {maxBytes} are taken");
        }

        var content = new ByteArrayContent(json);
        content.Headers.ContentType = new MediaTypeHeaderValue(JsonType);
        return new HttpRequestMessage(method, path) { Content = content };
    }

    private Task<TOut> AskAsync<TOut>(HttpRequestMessage request, JsonTypeInfo<TOut> output, CancellationToken cancel) =>
        LimitedAsync(request, (response, c) => ReadAsync(response, output, c), cancel);

    private async Task<T> ReadAsync<T>(HttpResponseMessage response, JsonTypeInfo<T> type, CancellationToken cancel)
    {
        using Stream body = await response.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false);
        return await JsonSerializer.DeserializeAsync(body, type, cancel).ConfigureAwait(false)
            ?? throw new ErrnoException(Errno.EPROTO, $"{_path}: answered null to {response.RequestMessage?.RequestUri?.AbsolutePath}");
    }

    private async Task<T> LimitedAsync<T>(
        HttpRequestMessage request, Func<HttpResponseMessage, CancellationToken, Task<T>> read, CancellationToken cancel, bool acceptFailure = false)
    {
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limited.CancelAfter(Timeout);
        try
        {
            using (request)
            {
                using HttpResponseMessage response = await SendAsync(request, acceptFailure, limited.Token).ConfigureAwait(false);
                return await read(response, limited.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException e) when (!cancel.IsCancellationRequested)
        {
            throw TimedOut(e);
        }
        catch (Exception e) when (e is IOException or HttpRequestException or JsonException)
        {
            throw Broken(e);
        }
    }

    private async Task<HttpResponseMessage> StartStreamAsync(HttpRequestMessage request, CancellationToken cancel)
    {
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limited.CancelAfter(Timeout);
        try
        {
            return await SendAsync(request, acceptFailure: false, limited.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException e) when (!cancel.IsCancellationRequested)
        {
            throw TimedOut(e);
        }
        catch (Exception e) when (e is IOException or HttpRequestException)
        {
            throw Broken(e);
        }
    }

    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, bool acceptFailure, CancellationToken cancel)
    {
        HttpResponseMessage response;
        try
        {
            response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel).ConfigureAwait(false);
        }
        catch (HttpRequestException e) when (e.InnerException is ErrnoException known)
        {
            throw known;
        }

        if (response.IsSuccessStatusCode || (acceptFailure && response.StatusCode == System.Net.HttpStatusCode.ServiceUnavailable))
        {
            return response;
        }

        using (response)
        {
            throw await ErrorOfAsync(response, cancel).ConfigureAwait(false);
        }
    }

    private async Task<ErrnoException> ErrorOfAsync(HttpResponseMessage response, CancellationToken cancel)
    {
        int status = (int)response.StatusCode;
        string body = await response.Content.ReadAsStringAsync(cancel).ConfigureAwait(false);
        try
        {
            if (JsonSerializer.Deserialize(body, ControlJson.Default.ControlError) is { Errno: > 0, Message: { } message } error)
            {
                return new ErrnoException(error.Errno, message);
            }
        }
        catch (JsonException)
        {
            // An answer of the HTTP server itself, or of something that is no archipelago.
        }

        return new ErrnoException(HttpErrors.ErrnoOf(status), $"{_path}: HTTP status {status} without an error that this client knows");
    }

    private async ValueTask<string?> ReadLineAsync(StreamReader reader, string path, CancellationToken cancel)
    {
        try
        {
            return await reader.ReadLineAsync(cancel).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or HttpRequestException)
        {
            throw new ErrnoException(Errno.ECONNRESET, $"{_path}: the answer to {path} broke off; did the process die? See its log", e);
        }
    }

    private (bool IsItem, T Value) ParseLine<T>(string? line, string path, JsonTypeInfo<T> type)
    {
        if (line is null)
        {
            throw new ErrnoException(Errno.ECONNRESET, $"{_path}: the answer to {path} ended before its end; did the process die? See its log");
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(line);
            JsonElement root = document.RootElement;
            if (root.TryGetProperty("item", out JsonElement item))
            {
                return (true, item.Deserialize(type)!);
            }

            if (root.TryGetProperty("error", out JsonElement error) && error.Deserialize(ControlJson.Default.ControlError) is { Errno: > 0 } known)
            {
                throw new ErrnoException(known.Errno, known.Message);
            }

            return root.TryGetProperty("end", out _) ? (false, default!) : throw new JsonException("a line that is neither item, error nor end");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new ErrnoException(Errno.EPROTO, $"{_path}: {path} answered something that this client does not know: {e.Message}", e);
        }
    }

    private async ValueTask<Stream> ConnectAsync(CancellationToken cancel)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(_path), cancel).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            socket.Dispose();
            throw ConnectError(e);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private ErrnoException ConnectError(Exception e) => (e as SocketException)?.SocketErrorCode switch
    {
        SocketError.AccessDenied => new ErrnoException(Errno.EACCES, $"{_path}: permission denied; the socket belongs to the user who started archipelago (sudo?)", e),
        null => new ErrnoException(Errno.ENAMETOOLONG, $"{_path}: too long for a socket's path", e),
        _ => new ErrnoException(Errno.ENOENT, $"no archipelago runs at {_path}; start it with `archipelago up`", e),
    };

    private ErrnoException TimedOut(Exception e) =>
        new(Errno.ETIMEDOUT, $"{_path}: no answer within {Timeout.TotalSeconds:0.#} s; the process may be stopped or hung (see its log)", e);

    private ErrnoException Broken(Exception e) =>
        new(e is JsonException ? Errno.EPROTO : Errno.ECONNRESET, $"{_path}: the answer cannot be read: {e.Message}", e);
}
