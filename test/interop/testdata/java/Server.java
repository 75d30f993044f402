import java.io.InputStream;
import java.net.InetAddress;
import java.security.KeyStore;
import java.security.Provider;
import java.security.Security;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;

/**
 * Serves TLS 1.2 and 1.3 with the keys and certificates of a token, whichever the
 * client can verify, and answers each connection with its version and cipher suite.
 * Arguments: SunPKCS11's configuration, the PIN. It prints its port, and ends with
 * standard input.
 */
public class Server {
    public static void main(String[] args) throws Exception {
        Provider provider = Security.getProvider("SunPKCS11").configure(args[0]);
        // The last one: TLS computes what it can without the token, and signs with its keys.
        Security.addProvider(provider);
        KeyStore store = KeyStore.getInstance("PKCS11", provider);
        store.load(null, args[1].toCharArray());
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(store, null);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), null, null);
        SSLServerSocket server = (SSLServerSocket) context.getServerSocketFactory()
            .createServerSocket(0, 50, InetAddress.getLoopbackAddress());
        server.setEnabledProtocols(new String[] {"TLSv1.2", "TLSv1.3"});
        Thread acceptor = new Thread(() -> accept(server));
        acceptor.setDaemon(true);
        acceptor.start();
        System.out.println(server.getLocalPort());
        InputStream in = System.in;
        while (in.read() >= 0) {
        }
    }

    static void accept(SSLServerSocket server) {
        ExecutorService threads = Executors.newFixedThreadPool(4, task -> {
            Thread thread = new Thread(task);
            thread.setDaemon(true);
            return thread;
        });
        while (true) {
            try {
                SSLSocket socket = (SSLSocket) server.accept();
                threads.execute(() -> answer(socket));
            } catch (Exception e) {
                e.printStackTrace();
                return;
            }
        }
    }

    static void answer(SSLSocket socket) {
        try (socket) {
            socket.startHandshake();
            String text = socket.getSession().getProtocol() + " " + socket.getSession().getCipherSuite() + "\n";
            socket.getOutputStream().write(text.getBytes());
        } catch (Exception e) {
            e.printStackTrace();
        }
    }
}
