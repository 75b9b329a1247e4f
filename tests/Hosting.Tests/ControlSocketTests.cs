#pragma warning disable CA1416 // Runs on Linux only.
using System.Net.Sockets;
using System.Text;
using Archipelago.Runtime;
using Archipelago.Runtime.Control;

namespace Archipelago.Hosting.Tests;

public sealed class ControlSocketTests : IDisposable
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private readonly TemporaryDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task The_socket_is_the_owner_s_alone_and_is_removed_at_the_end()
    {
        string path;
        await using (ControlFixture f = await ControlFixture.StartAsync())
        {
            path = f.Server.SocketPath;
            Assert.Equal(OwnerOnly, File.GetUnixFileMode(path));
            Assert.Equal(OwnerOnly | UnixFileMode.UserExecute, File.GetUnixFileMode(Path.GetDirectoryName(path)!));
        }

        Assert.False(File.Exists(path));
    }

    [Fact]
    public async Task A_second_process_is_refused_and_the_first_keeps_answering()
    {
        await using ControlFixture f = await ControlFixture.StartAsync();
        ErrnoException e = await Assert.ThrowsAsync<ErrnoException>(() => ControlFixture.StartAnotherAsync(f.Server.SocketPath));
        Assert.Equal(Errno.EADDRINUSE, e.Errno);
        Assert.Contains($"process {Environment.ProcessId} serves it", e.Message, StringComparison.Ordinal);
        Assert.True((await f.Client.HealthAsync()).IsOk);
    }

    [Fact]
    public async Task The_socket_of_a_dead_process_is_replaced()
    {
        string path = _temp.File("c.sock");
        using (Listen(_temp.File("moved")))
        {
            // Closing removes the file under the name that was bound; under its new name it stays, as after a kill -9.
            File.Move(_temp.File("moved"), path);
        }

        Assert.True(File.Exists(path));
        using var client = new ControlClient(path);
        await AssertNobody(client, path);
        await using (ControlServer server = await ControlFixture.StartAnotherAsync(path))
        {
            Assert.True((await client.HealthAsync()).IsOk);
            Assert.Equal(OwnerOnly, File.GetUnixFileMode(path));
        }

        await using ControlServer again = await ControlFixture.StartAnotherAsync(path);
        Assert.True((await client.HealthAsync()).IsOk);
    }

    [Fact]
    public async Task A_stranger_s_socket_a_file_and_a_directory_are_not_replaced()
    {
        using Socket stranger = Listen(_temp.File("s.sock"));
        Assert.Equal(Errno.EADDRINUSE, (await Refused(_temp.File("s.sock"))).Errno);
        string file = _temp.Write("file", "precious");
        Assert.Equal(Errno.EEXIST, (await Refused(file)).Errno);
        Assert.Equal("precious", File.ReadAllText(file));
        Directory.CreateDirectory(_temp.File("dir"));
        Assert.Equal(Errno.EEXIST, (await Refused(_temp.File("dir"))).Errno);
        Assert.Equal(Errno.ENAMETOOLONG, (await Refused(_temp.File(new string('x', 120)))).Errno);
        Assert.Equal(Errno.EEXIST, (await Refused(Path.Combine(file, "under-a-file"))).Errno);
    }

    [Fact]
    public async Task Nobody_there_is_said_with_what_to_do()
    {
        using var client = new ControlClient(_temp.File("none.sock"));
        await AssertNobody(client, _temp.File("none.sock"));
        using var tooLong = new ControlClient(_temp.File(new string('x', 120)));
        Assert.Equal(Errno.ENAMETOOLONG, (await Assert.ThrowsAsync<ErrnoException>(() => tooLong.HealthAsync())).Errno);
    }

    [Fact]
    public async Task A_process_that_does_not_answer_gives_etimedout()
    {
        using Socket hung = Listen(_temp.File("h.sock"));
        using var client = new ControlClient(_temp.File("h.sock")) { Timeout = TimeSpan.FromMilliseconds(200) };
        Assert.Equal(Errno.ETIMEDOUT, (await Assert.ThrowsAsync<ErrnoException>(() => client.HealthAsync())).Errno);
    }

    [Fact]
    public async Task A_caller_s_own_cancellation_stays_one()
    {
        using Socket hung = Listen(_temp.File("h.sock"));
        using var client = new ControlClient(_temp.File("h.sock"));
        using var cancel = new CancellationTokenSource();
        Task<HealthReport> call = client.HealthAsync(cancel.Token);
        cancel.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{\"item\":0}\n\r\n0\r\n\r\n", Errno.ECONNRESET)]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{\"item\":0}\n\r\n", Errno.ECONNRESET)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nnot json", Errno.EPROTO)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]", Errno.EPROTO)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"item\":\"x\"}", Errno.EPROTO)]
    [InlineData("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", Errno.EIO)]
    [InlineData("garbage\r\n\r\n", Errno.ECONNRESET)]
    [InlineData("", Errno.ECONNRESET)]
    public async Task A_stream_that_breaks_off_or_is_none_is_an_error_and_never_an_end(string answer, int errno)
    {
        using Socket listener = Listen(_temp.File("b.sock"));
        Task server = Task.Run(async () =>
        {
            using Socket connection = await listener.AcceptAsync();
            byte[] buffer = new byte[4096];
            string request = "";
            while (!request.EndsWith('}'))
            {
                request += Encoding.UTF8.GetString(buffer, 0, await connection.ReceiveAsync(buffer));
            }

            await connection.SendAsync(Encoding.UTF8.GetBytes(answer));
            connection.Shutdown(SocketShutdown.Both);
        });
        using var client = new ControlClient(_temp.File("b.sock"));
        ErrnoException e = await Assert.ThrowsAsync<ErrnoException>(async () =>
        {
            await foreach (int item in client.StreamAsync(
                "/v1/count", new VolumeRequest("a", 1), TestJson.Default.VolumeRequest, TestJson.Default.Int32))
            {
                Assert.Equal(0, item);
            }
        });
        Assert.Equal(errno, e.Errno);
        await server;
    }

    private static Socket Listen(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        socket.Listen();
        return socket;
    }

    private static async Task AssertNobody(ControlClient client, string path)
    {
        ErrnoException e = await Assert.ThrowsAsync<ErrnoException>(() => client.HealthAsync());
        Assert.Equal(Errno.ENOENT, e.Errno);
        Assert.Equal($"no archipelago runs at {path}; start it with `archipelago up`", e.Message);
    }

    private static Task<ErrnoException> Refused(string path) =>
        Assert.ThrowsAsync<ErrnoException>(() => ControlFixture.StartAnotherAsync(path));
}
