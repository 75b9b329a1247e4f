using Xunit;

namespace Archipelago.Librados.Tests;

public sealed class DevRadosScriptTests
{
    [Fact]
    public void A_stopped_bluestore_cluster_resumes_with_its_data()
    {
        using var cluster = new DevCluster("bluestore");
        using (var client = new Client(cluster))
            Assert.Equal(0, client.Write("kept", [1, 2, 3]));
        cluster.MustSucceed("stop");
        Assert.Equal(3, DevCluster.Script("status", cluster.Directory).ExitCode);
        DevCluster.Outcome other = DevCluster.Script("start", cluster.Directory, ("STORE", "filestore"));
        Assert.Equal(1, other.ExitCode);
        Assert.Contains("STORE=bluestore", other.Error);
        cluster.MustSucceed("start");
        cluster.MustSucceed("status");
        using var again = new Client(cluster);
        Assert.Equal([1, 2, 3], again.Read("kept", 10));
    }

    [Fact]
    public void A_running_cluster_is_not_started_again_and_its_port_not_taken()
    {
        using var cluster = new DevCluster("memstore");
        DevCluster.Outcome second = DevCluster.Script("start", cluster.Directory);
        Assert.Equal(1, second.ExitCode);
        Assert.Contains("runs already", second.Error);
        string other = cluster.Directory + "-2";
        second = DevCluster.Script("start", other, ("MONPORT", $"{cluster.MonitorPort}"));
        Assert.Equal(1, second.ExitCode);
        Assert.Contains("is in use", second.Error);
        Directory.Delete(other, recursive: true);
        Assert.Equal(1, DevCluster.Script("start-osd", cluster.Directory).ExitCode);
        cluster.KillOsd();
        second = DevCluster.Script("start-osd", cluster.Directory);
        Assert.Equal(1, second.ExitCode);
        Assert.Contains("lost its data", second.Error);
    }

    [Fact]
    public void A_directory_of_somebody_else_is_left_alone()
    {
        string directory = Directory.CreateTempSubdirectory("archipelago-rados-").FullName;
        string file = Path.Combine(directory, "thesis.txt");
        File.WriteAllText(file, "precious");
        foreach (string command in (string[])["start", "stop", "kill-osd", "start-osd", "status"])
        {
            DevCluster.Outcome outcome = DevCluster.Script(command, directory);
            Assert.Equal(1, outcome.ExitCode);
            Assert.Contains("was not made by dev-rados.sh", outcome.Error);
        }
        Assert.Equal("precious", File.ReadAllText(file));
        Assert.Single(Directory.GetFileSystemEntries(directory));
        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public void A_pid_file_that_names_a_stranger_stops_nobody()
    {
        using var cluster = new DevCluster("memstore");
        string pidFile = Path.Combine(cluster.Directory, "osd.0.pid");
        string right = File.ReadAllText(pidFile);
        File.WriteAllText(pidFile, $"{Environment.ProcessId}\n");
        Assert.Equal(1, DevCluster.Script("kill-osd", cluster.Directory).ExitCode);
        File.WriteAllText(pidFile, right);
    }

    [Theory]
    [InlineData("STORE", "floppy")]
    [InlineData("MONPORT", "80")]
    [InlineData("MONPORT", "port")]
    [InlineData("SIZE", "1Z1")]
    [InlineData("SIZE", "1M")]
    [InlineData("POOL", "a b")]
    [InlineData("AUTH", "maybe")]
    [InlineData("WAIT", "-1")]
    public void A_bad_setting_is_named_and_creates_nothing(string name, string value)
    {
        string directory = Path.Combine(Path.GetTempPath(), "archipelago-rados-" + Guid.NewGuid().ToString("N"));
        DevCluster.Outcome outcome = DevCluster.Script("start", directory, (name, value));
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains($"{name}='{value}'", outcome.Error);
        Assert.False(Directory.Exists(directory));
    }

    [Theory]
    [InlineData("start", "/")]
    [InlineData("explode", "/tmp/x")]
    [InlineData("start", "")]
    public void A_wrong_call_is_refused(string command, string directory)
        => Assert.Equal(2, DevCluster.Script(command, directory).ExitCode);
}
