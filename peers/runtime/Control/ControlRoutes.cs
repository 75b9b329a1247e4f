using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Routing;

namespace Archipelago.Runtime.Control;

/// <summary>
/// Typed endpoints without reflection: bodies are read and written by serializers made at compile time. A handler that fails throws
/// <see cref="ErrnoException"/>, and the client gets errno and message; a body that is no JSON of its type is EINVAL before the handler
/// is called. Path values are in <c>context.Request.RouteValues</c> (<see cref="RouteValue"/>).
/// </summary>
public static class ControlRoutes
{
    private const string Json = "application/json";
    private const string Lines = "application/x-ndjson";

    /// <summary>Maps GET.</summary>
    public static void GetJson<TOut>(
        this IEndpointRouteBuilder routes, string pattern, JsonTypeInfo<TOut> output, Func<HttpContext, ValueTask<TOut>> handler) =>
        routes.MapGet(pattern, context => AnswerAsync(context, output, handler));

    /// <summary>Maps DELETE.</summary>
    public static void DeleteJson<TOut>(
        this IEndpointRouteBuilder routes, string pattern, JsonTypeInfo<TOut> output, Func<HttpContext, ValueTask<TOut>> handler) =>
        routes.MapDelete(pattern, context => AnswerAsync(context, output, handler));

    /// <summary>Maps POST with a body.</summary>
    public static void PostJson<TIn, TOut>(
        this IEndpointRouteBuilder routes, string pattern, JsonTypeInfo<TIn> input, JsonTypeInfo<TOut> output,
        Func<TIn, HttpContext, ValueTask<TOut>> handler) =>
        routes.MapPost(pattern, context => AnswerAsync(context, input, output, handler));

    /// <summary>Maps PUT with a body.</summary>
    public static void PutJson<TIn, TOut>(
        this IEndpointRouteBuilder routes, string pattern, JsonTypeInfo<TIn> input, JsonTypeInfo<TOut> output,
        Func<TIn, HttpContext, ValueTask<TOut>> handler) =>
        routes.MapPut(pattern, context => AnswerAsync(context, input, output, handler));

    /// <summary>
    /// Maps POST with a body to a stream of items, for long work: a JSON object per line, <c>{"item":…}</c>, sent as it comes, and at
    /// last <c>{"end":true}</c> or <c>{"error":{…}}</c>. A client that goes away cancels <c>context.RequestAborted</c>. What fails before
    /// the first item is an ordinary error. A body may have <paramref name="maxBodyBytes"/>.
    /// </summary>
    public static void PostStream<TIn, TItem>(
        this IEndpointRouteBuilder routes, string pattern, JsonTypeInfo<TIn> input, JsonTypeInfo<TItem> item,
        Func<TIn, HttpContext, IAsyncEnumerable<TItem>> handler, int maxBodyBytes = ControlServer.MaxBodyBytes) =>
        routes.MapPost(pattern, async context =>
        {
            if (maxBodyBytes != ControlServer.MaxBodyBytes && context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit) limit.MaxRequestBodySize = maxBodyBytes;
            TIn body = await ReadAsync(context, input).ConfigureAwait(false);
            await StreamAsync(context, item, handler(body, context)).ConfigureAwait(false);
        });

    /// <summary>A path value that the pattern names, <c>/v1/volumes/{name}</c>.</summary>
    public static string RouteValue(this HttpContext context, string name) =>
        context.Request.RouteValues[name] as string
        ?? throw new ErrnoException(Errno.EINVAL, $"{context.Request.Path}: the path has no {name}");

    internal static async Task WriteErrorAsync(HttpContext context, ErrnoException error)
    {
        context.Response.Clear();
        context.Response.StatusCode = HttpErrors.StatusOf(error.Errno);
        await WriteAsync(context, ControlJson.Default.ControlError, ControlError.Of(error)).ConfigureAwait(false);
    }

    internal static Task WriteAsync<T>(HttpContext context, JsonTypeInfo<T> type, T value)
    {
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(value, type);
        context.Response.ContentType = Json;
        context.Response.ContentLength = body.Length;
        return context.Response.Body.WriteAsync(body, context.RequestAborted).AsTask();
    }

    private static async Task AnswerAsync<TOut>(HttpContext context, JsonTypeInfo<TOut> output, Func<HttpContext, ValueTask<TOut>> handler) =>
        await WriteAsync(context, output, await handler(context).ConfigureAwait(false)).ConfigureAwait(false);

    private static async Task AnswerAsync<TIn, TOut>(
        HttpContext context, JsonTypeInfo<TIn> input, JsonTypeInfo<TOut> output, Func<TIn, HttpContext, ValueTask<TOut>> handler)
    {
        TIn body = await ReadAsync(context, input).ConfigureAwait(false);
        await WriteAsync(context, output, await handler(body, context).ConfigureAwait(false)).ConfigureAwait(false);
    }

    private static async ValueTask<T> ReadAsync<T>(HttpContext context, JsonTypeInfo<T> type)
    {
        // Also keeps web pages out: a browser does not send this type to another origin without asking first.
        string contentType = context.Request.ContentType ?? "";
        if (contentType.Split(';')[0].Trim() is not Json)
        {
            throw new ErrnoException(Errno.EINVAL, $"the body must have Content-Type {Json}, not \"{contentType}\"");
        }

        try
        {
            T? body = await JsonSerializer.DeserializeAsync(context.Request.Body, type, context.RequestAborted).ConfigureAwait(false);
            return body ?? throw new ErrnoException(Errno.EINVAL, "the body must be a JSON value other than null");
        }
        catch (JsonException e)
        {
            throw new ErrnoException(Errno.EINVAL, $"the body is not the JSON expected here: {JsonFault.Describe(e, type)}", e);
        }
    }

    private static async Task StreamAsync<T>(HttpContext context, JsonTypeInfo<T> type, IAsyncEnumerable<T> items)
    {
        CancellationToken aborted = context.RequestAborted;
        try
        {
            await foreach (T item in items.WithCancellation(aborted).ConfigureAwait(false))
            {
                Begin(context);
                await LineAsync(context, "item", json => JsonSerializer.Serialize(json, item, type)).ConfigureAwait(false);
            }

            Begin(context);
            await LineAsync(context, "end", json => json.WriteBooleanValue(true)).ConfigureAwait(false);
        }
        catch (Exception e) when (context.Response.HasStarted && !aborted.IsCancellationRequested)
        {
            ErrnoException error = ControlServer.ToErrno(context, e);
            await LineAsync(context, "error", json => JsonSerializer.Serialize(json, ControlError.Of(error), ControlJson.Default.ControlError))
                .ConfigureAwait(false);
        }
    }

    // Not before the first item: what fails until then is answered with a status of its own.
    private static void Begin(HttpContext context)
    {
        if (!context.Response.HasStarted)
        {
            context.Response.ContentType = Lines;
        }
    }

    private static async Task LineAsync(HttpContext context, string member, Action<Utf8JsonWriter> value)
    {
        using var line = new MemoryStream();
        await using (var json = new Utf8JsonWriter(line))
        {
            json.WriteStartObject();
            json.WritePropertyName(member);
            value(json);
            json.WriteEndObject();
        }

        line.WriteByte((byte)'\n');
        await context.Response.Body.WriteAsync(line.GetBuffer().AsMemory(0, (int)line.Length), context.RequestAborted).ConfigureAwait(false);
        await context.Response.Body.FlushAsync(context.RequestAborted).ConfigureAwait(false);
    }
}
