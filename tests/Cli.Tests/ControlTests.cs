using System.Net.Sockets;
using System.Text;

using Xunit;

namespace Archipelago.Cli.Tests;

/// <summary>The control plane as somebody uses it by hand.</summary>
public sealed class ControlTests : IDisposable
{
    private readonly Chain _chain = new();

    public void Dispose() => _chain.Dispose();

    [Fact]
    public void Faults_of_memd_are_set_as_list_or_text_and_wrong_bodies_are_told_without_names_of_types()
    {
        _chain.Start("up", "--config", _chain.Write("c.conf", "[memd]\n[cached]\nsize = 16M\n[segment]\nspare = 2048\n"));
        Assert.Contains("[\"write:EIO:x3\",\"flush:EIO:1\"]", Put("""{"errors": "write:EIO:x3, flush:EIO"}"""), StringComparison.Ordinal);
        Assert.Contains("[\"write:EIO:x3\"]", Put("""{"errors": ["write:EIO:x3"], "hang": false}"""), StringComparison.Ordinal);
        Assert.Contains("\"errors\":[]", Put("{}"), StringComparison.Ordinal);
        foreach (var (body, told) in new[]
        {
            ("""{"latency": 5}""", "no member \\u0022latency\\u0022; known are latencyMicroseconds, jitterMicroseconds"),
            ("""{"latencyMicroseconds": "5ms"}""", "$.latencyMicroseconds: expected a number"),
            ("""{"stable": 1}""", "$.stable: expected true or false"),
            ("""{"errors": 5}""", "a list of rules such as"),
            ("""{"errors": ["write"]}""", "expected OP:ERRNO"),
            ("""[]""", "expected an object with latencyMicroseconds"),
            ("""{"stable": tru""", "invalid"),
        })
        {
            string answer = Put(body);
            Assert.Contains(told, answer, StringComparison.Ordinal);
            Assert.DoesNotMatch(@"System\.|Archipelago\.|\.NET|Path:", answer);
        }

        _chain.Run("down").Good();
    }

    private string Put(string body)
    {
        using var http = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancel) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(_chain.State + "/control.sock"), cancel);
                return new NetworkStream(socket, ownsSocket: true);
            },
        });
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        using var answer = http.PutAsync("http://x/v1/peers/memd/memd", content).GetAwaiter().GetResult();
        return answer.Content.ReadAsStringAsync().GetAwaiter().GetResult();
    }
}
